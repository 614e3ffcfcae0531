package signalr

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// MessagePackAppender is an argument or result that writes itself as MessagePack. What it appends must be one valid
// value. A [JSONAppender] that is no MessagePackAppender is carried over by [AppendMessagePack].
type MessagePackAppender interface {
	AppendMessagePack(dst []byte) ([]byte, error)
}

// appendPack appends a value under the names and by the rules of encoding/json, so that it looks the same in both
// protocols, with what MessagePack has and JSON has not: []byte is binary, [time.Time] a timestamp, and a map with
// integer keys keeps them. That is also what .NET does with them.
func appendPack(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil, null:
		return appendPackNil(dst), nil
	case Raw:
		return v.appendPack(dst)
	case MessagePackAppender:
		return v.AppendMessagePack(dst)
	case JSONAppender:
		return appendPackOfAppender(dst, v)
	case json.RawMessage:
		return AppendMessagePack(dst, v)
	case string:
		return appendPackString(dst, v), nil
	case bool:
		return appendPackBool(dst, v), nil
	case int:
		return appendPackInt(dst, int64(v)), nil
	case int64:
		return appendPackInt(dst, v), nil
	case float64:
		return appendPackFloat(dst, v), nil
	case []byte:
		if v == nil {
			return appendPackNil(dst), nil
		}
		return appendPackBinary(dst, v), nil
	case time.Time:
		return appendPackTime(dst, v), nil
	}
	return appendPackValue(dst, reflect.ValueOf(v), 0)
}

func appendPackOfAppender(dst []byte, v JSONAppender) ([]byte, error) {
	buf := newBuffer()
	defer buf.free()
	var err error
	if buf.b, err = v.AppendJSON(buf.b); err != nil {
		return dst, err
	}
	return AppendMessagePack(dst, buf.b)
}

var (
	packAppenderType  = reflect.TypeFor[MessagePackAppender]()
	jsonAppenderType  = reflect.TypeFor[JSONAppender]()
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	timeType          = reflect.TypeFor[time.Time]()
	jsonNumberType    = reflect.TypeFor[json.Number]()
)

// maxValueDepth ends values that contain themselves.
const maxValueDepth = 1000

func appendPackValue(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if !v.IsValid() {
		return appendPackNil(dst), nil
	}
	if depth > maxValueDepth {
		return dst, fmt.Errorf("signalr: value of type %s is nested too deep", v.Type())
	}
	if dst, done, err := appendPackBySelf(dst, v); done || err != nil {
		return dst, err
	}
	switch v.Kind() {
	case reflect.Bool:
		return appendPackBool(dst, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendPackInt(dst, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return appendPackUint(dst, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendPackFloat(dst, v.Float()), nil
	case reflect.String:
		if v.Type() == jsonNumberType {
			return AppendMessagePack(dst, json.RawMessage(cmp.Or(v.String(), "0")))
		}
		return appendPackString(dst, v.String()), nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return appendPackNil(dst), nil
		}
		return appendPackValue(dst, v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		return appendPackList(dst, v, depth)
	case reflect.Map:
		return appendPackKeyed(dst, v, depth)
	case reflect.Struct:
		return appendPackStruct(dst, v, depth)
	default:
		return dst, fmt.Errorf("signalr: values of type %s cannot be encoded", v.Type())
	}
}

// appendPackBySelf lets those values write themselves that can, with done set.
func appendPackBySelf(dst []byte, v reflect.Value) (_ []byte, done bool, err error) {
	t := v.Type()
	if v.Kind() == reflect.Pointer && v.IsNil() || v.Kind() == reflect.Interface {
		return dst, false, nil
	}
	if t == timeType {
		return appendPackTime(dst, v.Interface().(time.Time)), true, nil //nolint:forcetypeassert // that is its type
	}
	if v.CanAddr() && !implementsAny(t) && implementsAny(reflect.PointerTo(t)) {
		v = v.Addr()
	}
	if t = v.Type(); !implementsAny(t) || t.Kind() == reflect.Pointer && t.Elem() == timeType {
		return dst, false, nil
	}
	switch m := v.Interface().(type) {
	case MessagePackAppender:
		dst, err = m.AppendMessagePack(dst)
	case JSONAppender:
		dst, err = appendPackOfAppender(dst, m)
	case json.Marshaler:
		var text []byte
		if text, err = m.MarshalJSON(); err == nil {
			dst, err = AppendMessagePack(dst, text)
		}
	case encoding.TextMarshaler:
		var text []byte
		if text, err = m.MarshalText(); err == nil {
			dst = appendPackString(dst, text)
		}
	}
	return dst, true, err
}

func implementsAny(t reflect.Type) bool {
	return t.Implements(packAppenderType) || t.Implements(jsonAppenderType) ||
		t.Implements(jsonMarshalerType) || t.Implements(textMarshalerType)
}

func appendPackList(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			return appendPackNil(dst), nil
		}
		if e := v.Type().Elem(); e.Kind() == reflect.Uint8 && !implementsAny(e) && !implementsAny(reflect.PointerTo(e)) {
			return appendPackBinary(dst, v.Bytes()), nil
		}
	}
	dst = appendPackArray(dst, v.Len())
	for i := range v.Len() {
		if dst, err = appendPackValue(dst, v.Index(i), depth+1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendPackKeyed appends a map in the order of its encoded keys, so that equal maps give equal bytes.
func appendPackKeyed(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.IsNil() {
		return appendPackNil(dst), nil
	}
	type pair struct {
		key   []byte
		value reflect.Value
	}
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := appendPackKey(nil, it.Key())
		if err != nil {
			return dst, err
		}
		pairs = append(pairs, pair{key, it.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	dst = appendPackMap(dst, len(pairs))
	for _, p := range pairs {
		if dst, err = appendPackValue(append(dst, p.key...), p.value, depth+1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendPackKey(dst []byte, k reflect.Value) ([]byte, error) {
	if k.Kind() == reflect.String {
		return appendPackString(dst, k.String()), nil
	}
	if m, ok := k.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return appendPackString(dst, text), err
	}
	switch {
	case k.CanInt():
		return appendPackInt(dst, k.Int()), nil
	case k.CanUint():
		return appendPackUint(dst, k.Uint()), nil
	default:
		return dst, fmt.Errorf("signalr: maps with keys of type %s cannot be encoded", k.Type())
	}
}

func appendPackStruct(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
	at, n := len(dst), 0
	dst = append(dst, 0)
	for _, f := range fieldsOf(v.Type()) {
		field, there := f.of(v)
		if !there || f.omitEmpty && isEmpty(field) || f.omitZero && isZero(field) {
			continue
		}
		dst = append(dst, f.key...)
		if f.quoted {
			dst, err = appendPackQuoted(dst, field)
		} else {
			dst, err = appendPackValue(dst, field, depth+1)
		}
		if err != nil {
			return dst, err
		}
		n++
	}
	return countPack(dst, at, n, 0x80, 0xde), nil
}

// appendPackQuoted appends a scalar whose tag asks for it as text.
func appendPackQuoted(dst []byte, v reflect.Value) ([]byte, error) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return appendPackNil(dst), nil
		}
		v = v.Elem()
	}
	text, err := json.Marshal(v.Interface())
	return appendPackString(dst, text), err
}
