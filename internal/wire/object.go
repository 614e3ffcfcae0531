package wire

import (
	"slices"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// Object writes one JSON object: Begin opens it, the other methods append its fields, and End closes it. Field names must not need escapes.
type Object struct {
	Dst  []byte // the buffer
	open bool   // the object has a field
}

// Begin appends the start of an object to dst.
func Begin(dst []byte) Object { return Object{Dst: append(dst, '{')} }

// name appends the name of the next field.
func (o *Object) name(name string) {
	if o.open {
		o.Dst = append(o.Dst, ',')
	}
	o.open = true
	o.Dst = append(append(append(o.Dst, '"'), name...), '"', ':')
}

// String appends a string field.
func (o *Object) String(name, value string) {
	o.name(name)
	o.Dst = AppendString(o.Dst, value)
}

// Optional appends a string field, unless the string is empty.
func (o *Object) Optional(name, value string) {
	if value != "" {
		o.String(name, value)
	}
}

// Uint appends a number field.
func (o *Object) Uint(name string, value uint64) {
	o.name(name)
	o.Dst = strconv.AppendUint(o.Dst, value, 10)
}

// Text appends a string field of a value whose text needs no escapes: an id, a recipient or a time.
func (o *Object) Text(name string, value interface {
	AppendText(dst []byte) ([]byte, error)
},
) {
	o.name(name)
	o.Dst = append(o.Dst, '"')
	o.Dst, _ = value.AppendText(o.Dst) // those of the root package never fail
	o.Dst = append(o.Dst, '"')
}

// Time appends a time field, unless the time is zero.
func (o *Object) Time(name string, value esh3ar.Time) {
	if !value.IsZero() {
		o.Text(name, value)
	}
}

// Pairs appends an object of strings, sorted by name, unless it is empty.
func (o *Object) Pairs(name string, pairs map[string]string) {
	if len(pairs) == 0 {
		return
	}
	names := make([]string, 0, len(pairs))
	for key := range pairs {
		names = append(names, key)
	}
	slices.Sort(names)
	o.name(name)
	inner := Begin(o.Dst)
	for _, key := range names {
		if inner.open {
			inner.Dst = append(inner.Dst, ',')
		}
		inner.open = true
		inner.Dst = append(AppendString(inner.Dst, key), ':')
		inner.Dst = AppendString(inner.Dst, pairs[key])
	}
	o.Dst = inner.End()
}

// End closes the object and returns the buffer.
func (o *Object) End() []byte { return append(o.Dst, '}') }
