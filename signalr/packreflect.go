package signalr

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// The functions of this file decode MessagePack values into Go values of any type. Names, null and embedded structs follow
// the rules of encoding/json. Values are not converted to JSON first, so that binary data, timestamps, integers and infinite
// numbers are preserved at any depth, also inside an any. Two cases do go through JSON: types that implement
// json.Unmarshaler or encoding.TextUnmarshaler, and values of another kind than their target, such as base64 text for a
// defined byte slice type.

var (
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodePackValue decodes one value into the variable that v points to.
func decodePackValue(value []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("signalr: arguments cannot be stored in a %T", v)
	}
	s := packScanner{b: value}
	return s.store(target.Elem(), 0)
}

// store decodes the next value into v, which must be settable.
func (s *packScanner) store(v reflect.Value, depth int) error {
	from := s.i
	h, err := s.head()
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return s.fail("nested too deep")
	}
	t := v.Type()
	if t == timeType && h.kind == packExt {
		moment, err := s.time(h)
		if err == nil {
			v.Set(reflect.ValueOf(moment))
		}
		return err
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && readsItself(t) {
		return s.storeByJSON(h, from, v, depth)
	}
	if h.kind == packNil {
		switch t.Kind() {
		case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
			v.SetZero()
		default: // as in encoding/json, null leaves the value unchanged
		}
		return nil
	}
	if done, err := s.storeKind(h, from, v, depth); done || err != nil {
		return err
	}
	return s.storeByJSON(h, from, v, depth)
}

// storeKind decodes a value other than null into v. done is false if the kind of v does not match.
func (s *packScanner) storeKind(h packHead, from int, v reflect.Value, depth int) (done bool, err error) {
	switch k := v.Kind(); {
	case k == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		s.i = from
		return true, s.store(v.Elem(), depth+1)
	case k == reflect.Interface && v.NumMethod() == 0:
		return true, s.storeAny(h, from, v, depth)
	case k == reflect.Bool && h.kind == packBool:
		v.SetBool(h.n == 1)
	case k == reflect.String && h.kind == packString && v.Type() != jsonNumberType:
		v.SetString(toValidUTF8(s.take(h.n)))
	case v.CanInt() || v.CanUint() || v.CanFloat():
		return h.storeNumber(v), nil
	case k == reflect.Slice && h.kind == packBinary && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(append([]byte{}, s.take(h.n)...))
	case k == reflect.Slice && h.kind == packString && v.Type().Elem().Kind() == reflect.Uint8:
		return true, s.storeBase64(h, v)
	case k == reflect.Slice && h.kind == packArray:
		return true, s.storeSlice(h.n, v, depth)
	case k == reflect.Array && h.kind == packArray:
		return true, s.storeArray(h.n, v, depth)
	case k == reflect.Map && h.kind == packMap:
		return true, s.storeMap(h.n, v, depth)
	case k == reflect.Struct && h.kind == packMap:
		return true, s.storeStruct(h.n, v, depth)
	default:
		return false, nil
	}
	return true, nil
}

// readsItself reports whether t implements json.Unmarshaler or encoding.TextUnmarshaler. A time.Time does; a timestamp is
// nevertheless decoded directly.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshalerType) || p.Implements(textUnmarshalerType)
}

// storeByJSON converts the value to JSON text and decodes that.
func (s *packScanner) storeByJSON(h packHead, from int, v reflect.Value, depth int) error {
	if err := s.rest(h, depth); err != nil {
		return err
	}
	return decodePackJSON(s.b[from:s.i], v.Addr().Interface())
}

// storeAny decodes a value into an empty interface: into the variable that it points to, if it holds a pointer, otherwise as
// the result of [packScanner.any].
func (s *packScanner) storeAny(h packHead, from int, v reflect.Value, depth int) error {
	if held := v.Elem(); held.Kind() == reflect.Pointer && !held.IsNil() {
		s.i = from
		return s.store(held.Elem(), depth+1)
	}
	value, err := s.any(h)
	if err != nil {
		return err
	}
	if value == nil {
		v.SetZero()
		return nil
	}
	v.Set(reflect.ValueOf(value))
	return nil
}

// storeNumber stores the number in v and reports whether it fits. A float with an integral value, as JavaScript sends, fits
// an integer.
func (h packHead) storeNumber(v reflect.Value) bool {
	f := math.Float64frombits(h.n)
	signed, isInt := h.int64()
	unsigned, isUint := h.n, h.kind == packUint
	if h.kind == packFloat && f == math.Trunc(f) {
		if f >= -1<<63 && f < 1<<63 {
			signed, isInt = int64(f), true
		}
		if f >= 0 && f < 1<<64 {
			unsigned, isUint = uint64(f), true
		}
	}
	switch {
	case v.CanInt() && isInt && !v.OverflowInt(signed):
		v.SetInt(signed)
	case v.CanUint() && isUint && !v.OverflowUint(unsigned):
		v.SetUint(unsigned)
	case v.CanFloat() && h.kind == packFloat && (!v.OverflowFloat(f) || math.IsInf(f, 0)):
		v.SetFloat(f)
	case v.CanFloat() && h.kind == packUint:
		v.SetFloat(float64(h.n))
	case v.CanFloat() && h.kind == packInt:
		v.SetFloat(float64(signed))
	default:
		return false
	}
	return true
}

// storeBase64 decodes base64 text into bytes, as in encoding/json.
func (s *packScanner) storeBase64(h packHead, v reflect.Value) error {
	b, err := base64.StdEncoding.AppendDecode([]byte{}, s.take(h.n))
	if err == nil {
		v.SetBytes(b)
	}
	return err
}

func (s *packScanner) storeSlice(n uint64, v reflect.Value, depth int) error {
	const first = 64 // maximum number of elements allocated before they are read
	list := reflect.MakeSlice(v.Type(), 0, int(min(n, first)))
	holder := reflect.New(v.Type()).Elem()
	holder.Set(list)
	for i := range int(n) {
		if i == holder.Cap() {
			holder.Grow(1)
		}
		holder.SetLen(i + 1)
		holder.Index(i).SetZero()
		if err := s.store(holder.Index(i), depth+1); err != nil {
			return err
		}
	}
	v.Set(holder)
	return nil
}

// storeArray decodes n elements into an array. As in encoding/json, it drops surplus elements and zeroes missing ones.
func (s *packScanner) storeArray(n uint64, v reflect.Value, depth int) error {
	for i := range int(n) {
		var err error
		if i < v.Len() {
			err = s.store(v.Index(i), depth+1)
		} else {
			err = s.value(depth + 1)
		}
		if err != nil {
			return err
		}
	}
	for i := int(min(n, uint64(v.Len()))); i < v.Len(); i++ {
		v.Index(i).SetZero()
	}
	return nil
}

func (s *packScanner) storeMap(n uint64, v reflect.Value, depth int) error {
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	for range n {
		text, err := s.appendKey(nil)
		if err != nil {
			return err
		}
		key := reflect.New(t.Key()).Elem()
		if err := storeKey(string(text), key); err != nil {
			return err
		}
		value := reflect.New(t.Elem()).Elem()
		if err := s.store(value, depth+1); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

// storeKey stores the key of a map.
func storeKey(text string, key reflect.Value) error {
	if u, ok := key.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch {
	case key.Kind() == reflect.String:
		key.SetString(text)
		return nil
	case key.CanInt():
		n, err := strconv.ParseInt(text, 10, key.Type().Bits())
		key.SetInt(n)
		return err
	case key.CanUint():
		n, err := strconv.ParseUint(text, 10, key.Type().Bits())
		key.SetUint(n)
		return err
	}
	return fmt.Errorf("signalr: maps with keys of type %s cannot be decoded", key.Type())
}

// targets caches the fields of each struct type by their names.
var targets sync.Map // reflect.Type → map[string]packField

func targetsOf(t reflect.Type) map[string]packField {
	if known, ok := targets.Load(t); ok {
		return known.(map[string]packField) //nolint:forcetypeassert // nothing else is stored
	}
	byName := make(map[string]packField)
	for _, f := range fieldsOf(t) {
		s := packScanner{b: f.key}
		h, _ := s.head() // made by appendPackString
		byName[string(s.take(h.n))] = f
	}
	targets.Store(t, byName)
	return byName
}

// targetOf returns the field with this name. An exact match takes precedence over a case-insensitive one.
func targetOf(t reflect.Type, name string) (packField, bool) {
	byName := targetsOf(t)
	if f, ok := byName[name]; ok {
		return f, true
	}
	for _, f := range fieldsOf(t) { // in order of declaration, as in encoding/json
		s := packScanner{b: f.key}
		h, _ := s.head()
		if strings.EqualFold(string(s.take(h.n)), name) {
			return f, true
		}
	}
	return packField{}, false
}

func (s *packScanner) storeStruct(n uint64, v reflect.Value, depth int) error {
	for range n {
		name, err := s.appendKey(nil)
		if err != nil {
			return err
		}
		f, known := targetOf(v.Type(), string(name))
		if !known {
			if err := s.value(depth + 1); err != nil {
				return err
			}
			continue
		}
		field, err := f.reach(v)
		if err != nil {
			return err
		}
		if f.quoted {
			err = s.storeQuoted(field, depth+1)
		} else {
			err = s.store(field, depth+1)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// reach returns the field of a struct. It allocates embedded struct pointers on the path to the field.
func (f *packField) reach(v reflect.Value) (reflect.Value, error) {
	for i, at := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, fmt.Errorf("signalr: embedded pointer to unexported struct %s cannot be set", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v, nil
}

// storeQuoted decodes a scalar that is encoded as a string (tag option "string").
func (s *packScanner) storeQuoted(v reflect.Value, depth int) error {
	from := s.i
	h, err := s.head()
	if err != nil {
		return err
	}
	if h.kind == packNil {
		s.i = from
		return s.store(v, depth)
	}
	if h.kind != packString {
		return s.fail("expected a string, as the tag of the field says")
	}
	return json.Unmarshal(s.take(h.n), v.Addr().Interface())
}
