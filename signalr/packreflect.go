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

// The functions of this file store MessagePack values in Go values of any type, by the rules of encoding/json for names, null
// and embedded structs, and without a detour over JSON text: binary data, timestamps, integers and numbers that are not finite
// stay what they are at any depth, also behind an any. Only a type that reads JSON or text by itself, and a value of another
// kind than its target (such as base64 text for a type of its own), take the way over JSON.

var (
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodePackValue stores one value in what v points to.
func decodePackValue(value []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("signalr: arguments cannot be stored in a %T", v)
	}
	s := packScanner{b: value}
	return s.store(target.Elem(), 0)
}

// store stores the next value in v, which can be set.
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
		default: // as with encoding/json, null leaves it as it is
		}
		return nil
	}
	if done, err := s.storeKind(h, from, v, depth); done || err != nil {
		return err
	}
	return s.storeByJSON(h, from, v, depth)
}

// storeKind stores a value that is no null in a v of a fitting kind, with done set.
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

// readsItself reports whether values of t read JSON or text by themselves. A time does, but what is no timestamp only.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshalerType) || p.Implements(textUnmarshalerType)
}

// storeByJSON carries the value over as JSON text.
func (s *packScanner) storeByJSON(h packHead, from int, v reflect.Value, depth int) error {
	if err := s.rest(h, depth); err != nil {
		return err
	}
	return decodePackJSON(s.b[from:s.i], v.Addr().Interface())
}

// storeAny stores a value in an interface without methods: in what it points to, or as [packScanner.any] has it.
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

// storeNumber reports whether the number fits into v. A whole number may come as a float, as from JavaScript.
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

// storeBase64 stores text in bytes, as encoding/json has it.
func (s *packScanner) storeBase64(h packHead, v reflect.Value) error {
	b, err := base64.StdEncoding.AppendDecode([]byte{}, s.take(h.n))
	if err == nil {
		v.SetBytes(b)
	}
	return err
}

func (s *packScanner) storeSlice(n uint64, v reflect.Value, depth int) error {
	const first = 64 // elements that are made before they are read
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

// storeArray drops elements for which there is no room, and zeroes those that are missing, as encoding/json does.
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

// targets remembers the fields of each type by their names.
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

// targetOf returns the field of a name: the very same, or one that differs in the case of letters only.
func targetOf(t reflect.Type, name string) (packField, bool) {
	byName := targetsOf(t)
	if f, ok := byName[name]; ok {
		return f, true
	}
	for _, f := range fieldsOf(t) { // in their order, as encoding/json does
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

// reach returns the field of a struct, and makes the embedded structs on the way to it.
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

// storeQuoted stores a scalar whose tag asks for it as text.
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
