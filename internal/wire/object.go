package wire

import (
	"slices"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// Object writes one JSON object. The zero value is ready; Begin or a first field opens it, End closes it.
type Object struct {
	Dst  []byte
	open bool
}

// Begin starts an object behind what dst holds.
func Begin(dst []byte) Object { return Object{Dst: append(dst, '{')} }

func (o *Object) name(name string) {
	if o.open {
		o.Dst = append(o.Dst, ',')
	}
	o.open = true
	o.Dst = append(append(append(o.Dst, '"'), name...), '"', ':')
}

// String adds a string.
func (o *Object) String(name, value string) {
	o.name(name)
	o.Dst = AppendString(o.Dst, value)
}

// Optional adds a string unless it is empty.
func (o *Object) Optional(name, value string) {
	if value != "" {
		o.String(name, value)
	}
}

// Uint adds a number.
func (o *Object) Uint(name string, value uint64) {
	o.name(name)
	o.Dst = strconv.AppendUint(o.Dst, value, 10)
}

// Text adds what prints itself without need of escapes: ids, recipients, times, names of statuses.
func (o *Object) Text(name string, value interface {
	AppendText(dst []byte) ([]byte, error)
},
) {
	o.name(name)
	o.Dst = append(o.Dst, '"')
	o.Dst, _ = value.AppendText(o.Dst) // the vocabulary's never fail
	o.Dst = append(o.Dst, '"')
}

// Time adds a time unless it is absent.
func (o *Object) Time(name string, value esh3ar.Time) {
	if !value.IsZero() {
		o.Text(name, value)
	}
}

// Pairs adds an object of strings, in the order of their names, unless it is empty.
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

// End closes the object and gives the buffer back.
func (o *Object) End() []byte { return append(o.Dst, '}') }
