package signalr

import (
	"fmt"
	"reflect"
)

// HandleFunc registers a function of any number of arguments, for methods that the typed functions such as [Handle3] do not
// reach. f is one of
//
//	func(*Call, A, B, …) error
//	func(*Call, A, B, …) (R, error)
//	func(*Call, A, B, …) (iter.Seq2[T, error], error)
//
// and the last form streams its results. A parameter may be an [Upload]. It costs some reflection for each call. It panics when f
// is no such function, as a fault of the program.
func (h *Hub) HandleFunc(name string, f any) {
	m, err := newFuncMethod(name, reflect.ValueOf(f))
	if err != nil {
		panic("signalr: hub method " + name + ": " + err.Error())
	}
	h.register(m)
}

// HandleMethods registers each exported method of v whose first parameter is a [*Call], under its name and as by HandleFunc:
// a struct of handlers with what they share in its fields. It panics when there is none, or when one has other results, as a
// fault of the program.
func (h *Hub) HandleMethods(v any) {
	handlers := reflect.ValueOf(v)
	found := false
	for i := range handlers.NumMethod() {
		f := handlers.Method(i)
		if f.Type().NumIn() == 0 || f.Type().In(0) != callType {
			continue
		}
		found = true
		h.HandleFunc(handlers.Type().Method(i).Name, f.Interface())
	}
	if !found {
		panic(fmt.Sprintf("signalr: %T has no exported method whose first parameter is a *signalr.Call", v))
	}
}

var (
	callType  = reflect.TypeFor[*Call]()
	errorType = reflect.TypeFor[error]()
)

// funcMethod is a function whose parameters are known by reflection.
type funcMethod struct {
	f          reflect.Value
	parameters []reflect.Type // without the call
	results    int
	stream     bool
}

func newFuncMethod(name string, f reflect.Value) (method, error) {
	if f.Kind() != reflect.Func || f.IsNil() {
		return method{}, fmt.Errorf("%v is not a function", f)
	}
	t := f.Type()
	switch out := t.NumOut(); {
	case t.NumIn() == 0 || t.In(0) != callType || t.IsVariadic():
		return method{}, fmt.Errorf("%s must take a *signalr.Call first, and no variable number of arguments", t)
	case out == 0 || out > 2 || t.Out(out-1) != errorType:
		return method{}, fmt.Errorf("%s must return an error, after one result at most", t)
	}
	m := &funcMethod{f: f, results: t.NumOut() - 1}
	uploads := 0
	for i := 1; i < t.NumIn(); i++ {
		m.parameters = append(m.parameters, t.In(i))
		if reflect.PointerTo(t.In(i)).Implements(uploadParameterType) {
			uploads++
		}
	}
	m.stream = m.results == 1 && isSequence(t.Out(0))
	return method{name: name, stream: m.stream, uploads: uploads, run: m.run}, nil
}

var uploadParameterType = reflect.TypeFor[uploadParameter]()

// run calls the function.
func (m *funcMethod) run(c *Call) (any, error) {
	pointers := make([]any, len(m.parameters))
	in := make([]reflect.Value, 1, 1+len(m.parameters))
	in[0] = reflect.ValueOf(c)
	for i, t := range m.parameters {
		p := reflect.New(t)
		pointers[i] = p.Interface()
		in = append(in, p.Elem())
	}
	if err := c.bind(pointers...); err != nil {
		return nil, err
	}
	out := m.f.Call(in)
	err, _ := out[m.results].Interface().(error)
	switch {
	case m.stream:
		return sequenceValue{out[0]}, err
	case m.results == 0:
		return nil, err
	}
	return result(out[0].Interface(), err)
}

// isSequence reports whether t is an iter.Seq2[T, error] of some T.
func isSequence(t reflect.Type) bool {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return false
	}
	yield := t.In(0)
	return yield.Kind() == reflect.Func && yield.NumIn() == 2 && yield.In(1) == errorType && yield.NumOut() == 1 && yield.Out(0).Kind() == reflect.Bool
}

// sequenceValue is an iter.Seq2[T, error] of a T that is known by reflection only.
type sequenceValue struct{ f reflect.Value }

func (s sequenceValue) isNil() bool { return s.f.IsNil() }

func (s sequenceValue) each(yield func(any, error) bool) {
	next := reflect.MakeFunc(s.f.Type().In(0), func(in []reflect.Value) []reflect.Value {
		err, _ := in[1].Interface().(error)
		return []reflect.Value{reflect.ValueOf(yield(in[0].Interface(), err)).Convert(s.f.Type().In(0).Out(0))}
	})
	s.f.Call([]reflect.Value{next})
}
