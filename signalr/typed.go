package signalr

import "iter"

// The functions of this file register typed methods. Types are resolved when they are registered, so a message costs no
// reflection beyond what decoding its arguments costs. OnN registers a method without a result, HandleN one with a
// result (which is sent even when it is nil, as null), StreamN one with a sequence of results. A parameter may be an
// [Upload]. A wrong number of arguments, or one that does not decode, answers an error to the caller and the handler does
// not run.

// On0 registers a method without arguments and result.
func On0(h *Hub, name string, f func(*Call) error) {
	h.register(method{name: name, run: func(c *Call) (any, error) {
		if err := c.bind(); err != nil {
			return nil, err
		}
		return nil, f(c)
	}})
}

// On1 registers a method of one argument without result.
func On1[A any](h *Hub, name string, f func(*Call, A) error) {
	h.register(method{name: name, uploads: upload1[A](), run: func(c *Call) (any, error) {
		var a A
		if err := c.bind(&a); err != nil {
			return nil, err
		}
		return nil, f(c, a)
	}})
}

// On2 registers a method of two arguments without result.
func On2[A, B any](h *Hub, name string, f func(*Call, A, B) error) {
	h.register(method{name: name, uploads: upload1[A]() + upload1[B](), run: func(c *Call) (any, error) {
		var a A
		var b B
		if err := c.bind(&a, &b); err != nil {
			return nil, err
		}
		return nil, f(c, a, b)
	}})
}

// On3 registers a method of three arguments without result.
func On3[A, B, C any](h *Hub, name string, f func(*Call, A, B, C) error) {
	h.register(method{name: name, uploads: upload1[A]() + upload1[B]() + upload1[C](), run: func(c *Call) (any, error) {
		var a A
		var b B
		var d C
		if err := c.bind(&a, &b, &d); err != nil {
			return nil, err
		}
		return nil, f(c, a, b, d)
	}})
}

// Handle0 registers a method without arguments.
func Handle0[R any](h *Hub, name string, f func(*Call) (R, error)) {
	h.register(method{name: name, run: func(c *Call) (any, error) {
		if err := c.bind(); err != nil {
			return nil, err
		}
		return result(f(c))
	}})
}

// Handle1 registers a method of one argument.
func Handle1[A, R any](h *Hub, name string, f func(*Call, A) (R, error)) {
	h.register(method{name: name, uploads: upload1[A](), run: func(c *Call) (any, error) {
		var a A
		if err := c.bind(&a); err != nil {
			return nil, err
		}
		return result(f(c, a))
	}})
}

// Handle2 registers a method of two arguments.
func Handle2[A, B, R any](h *Hub, name string, f func(*Call, A, B) (R, error)) {
	h.register(method{name: name, uploads: upload1[A]() + upload1[B](), run: func(c *Call) (any, error) {
		var a A
		var b B
		if err := c.bind(&a, &b); err != nil {
			return nil, err
		}
		return result(f(c, a, b))
	}})
}

// Handle3 registers a method of three arguments.
func Handle3[A, B, C, R any](h *Hub, name string, f func(*Call, A, B, C) (R, error)) {
	h.register(method{name: name, uploads: upload1[A]() + upload1[B]() + upload1[C](), run: func(c *Call) (any, error) {
		var a A
		var b B
		var d C
		if err := c.bind(&a, &b, &d); err != nil {
			return nil, err
		}
		return result(f(c, a, b, d))
	}})
}

// Stream0 registers a method without arguments that streams its results. The function is called in its turn, like any
// other, and the client's next invocation waits until it returns; so it subscribes to what it streams and returns, and the sequence
// does the waiting. The sequence is ranged over while its items go out; it waits when the client is slow, and is left when the client cancels or goes. An error ends the stream and is
// told like that of any method. See [FromChannel] for a channel.
func Stream0[T any](h *Hub, name string, f func(*Call) (iter.Seq2[T, error], error)) {
	h.register(method{name: name, stream: true, run: func(c *Call) (any, error) {
		if err := c.bind(); err != nil {
			return nil, err
		}
		return streamed(f(c))
	}})
}

// Stream1 registers a method of one argument that streams its results.
func Stream1[A, T any](h *Hub, name string, f func(*Call, A) (iter.Seq2[T, error], error)) {
	h.register(method{name: name, stream: true, uploads: upload1[A](), run: func(c *Call) (any, error) {
		var a A
		if err := c.bind(&a); err != nil {
			return nil, err
		}
		return streamed(f(c, a))
	}})
}

// Stream2 registers a method of two arguments that streams its results.
func Stream2[A, B, T any](h *Hub, name string, f func(*Call, A, B) (iter.Seq2[T, error], error)) {
	h.register(method{name: name, stream: true, uploads: upload1[A]() + upload1[B](), run: func(c *Call) (any, error) {
		var a A
		var b B
		if err := c.bind(&a, &b); err != nil {
			return nil, err
		}
		return streamed(f(c, a, b))
	}})
}

// upload1 returns 1 for an [Upload], 0 for every other type.
func upload1[A any]() int {
	if _, ok := any(new(A)).(uploadParameter); ok {
		return 1
	}
	return 0
}

// bind stores the arguments, and the streams that came with them, in what the parameters point to.
func (c *Call) bind(parameters ...any) error {
	if err := c.args.expect(len(parameters) - len(c.uploads)); err != nil {
		return err
	}
	arguments, streams := 0, 0
	for _, p := range parameters {
		if u, ok := p.(uploadParameter); ok && streams < len(c.uploads) {
			u.attach(c.uploads[streams])
			streams++
			continue
		}
		if err := c.args.Decode(arguments, p); err != nil {
			return err
		}
		arguments++
	}
	return nil
}

// null is a result that is there and is nil, where a nil result is none at all.
type null struct{}

func (null) AppendJSON(dst []byte) ([]byte, error) { return append(dst, "null"...), nil }

func result[R any](r R, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if v := any(r); v != nil {
		return v, nil
	}
	return null{}, nil
}

func streamed[T any](items iter.Seq2[T, error], err error) (any, error) {
	return sequenceOf[T](items), err
}
