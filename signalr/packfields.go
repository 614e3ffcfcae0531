package signalr

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// packField is one field of a struct as it is written.
type packField struct {
	key       []byte // encoded
	index     []int
	omitEmpty bool
	omitZero  bool
	quoted    bool
}

// of returns the field of a struct; false when it belongs to an embedded pointer that is nil.
func (f *packField) of(v reflect.Value) (reflect.Value, bool) {
	for i, at := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v, true
}

// structs remembers the fields of each type. There are as many as the program has types.
var structs sync.Map // reflect.Type → []packField

func fieldsOf(t reflect.Type) []packField {
	if known, ok := structs.Load(t); ok {
		return known.([]packField) //nolint:forcetypeassert // nothing else is stored
	}
	fields := findFields(t)
	structs.Store(t, fields)
	return fields
}

// candidate is a field that may be written under a name.
type candidate struct {
	packField
	name   string
	tagged bool
}

// findFields chooses the fields of a struct by the rules of encoding/json: among those of one name the least deep one
// counts, among equally deep ones the one with a tag, and if there are several none.
func findFields(t reflect.Type) []packField {
	byName := make(map[string][]candidate)
	var order []string
	gather(t, nil, nil, func(c candidate) {
		if byName[c.name] == nil {
			order = append(order, c.name)
		}
		byName[c.name] = append(byName[c.name], c)
	})
	var chosen []candidate
	for _, name := range order {
		if c, ok := dominant(byName[name]); ok {
			chosen = append(chosen, c)
		}
	}
	slices.SortFunc(chosen, func(a, b candidate) int { return slices.Compare(a.index, b.index) })
	fields := make([]packField, len(chosen))
	for i, c := range chosen {
		fields[i] = c.packField
	}
	return fields
}

func dominant(of []candidate) (best candidate, ok bool) {
	for _, c := range of {
		switch {
		case best.index == nil, len(c.index) < len(best.index), len(c.index) == len(best.index) && c.tagged && !best.tagged:
			best, ok = c, true
		case len(c.index) == len(best.index) && c.tagged == best.tagged:
			ok = false
		}
	}
	return best, ok
}

// gather calls found with each field of t and of the structs embedded in it. outer are the types around it: one that
// embeds itself ends there.
func gather(t reflect.Type, at []int, outer []reflect.Type, found func(candidate)) {
	if slices.Contains(outer, t) {
		return
	}
	outer = append(outer, t)
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(at), i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		embeds := f.Anonymous && inner.Kind() == reflect.Struct
		switch {
		case tag == "-", !f.IsExported() && !embeds:
		case embeds && name == "":
			gather(inner, index, outer, found)
		case f.IsExported():
			found(newCandidate(f, name, options, index))
		}
	}
}

func newCandidate(f reflect.StructField, name, options string, index []int) candidate {
	c := candidate{name: name, tagged: name != ""}
	if !c.tagged {
		c.name = f.Name
	}
	c.key, c.index = appendPackString(nil, c.name), index
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			c.omitEmpty = true
		case "omitzero":
			c.omitZero = true
		case "string":
			c.quoted = isScalar(f.Type)
		}
	}
	return c
}

func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

func isZero(v reflect.Value) bool {
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok && !(v.Kind() == reflect.Pointer && v.IsNil()) {
		return z.IsZero()
	}
	return v.IsZero()
}
