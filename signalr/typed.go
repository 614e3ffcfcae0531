package signalr

// The functions of this file register typed methods. Types are resolved when they are registered, so a message costs no
// reflection beyond what decoding its arguments costs. OnN registers a method without a result, HandleN one with a
// result (which is sent even when it is nil, as null). A wrong number of arguments, or one that does not decode, answers
// an error to the caller and the handler does not run.

// On0 registers a method without arguments and result.
func On0(h *Hub, name string, f func(*Call) error) {
	h.Handle(name, func(c *Call) (any, error) {
		if err := c.args.expect(0); err != nil {
			return nil, err
		}
		return nil, f(c)
	})
}

// On1 registers a method of one argument without result.
func On1[A any](h *Hub, name string, f func(*Call, A) error) {
	h.Handle(name, func(c *Call) (any, error) {
		a, err := decode1[A](c)
		if err != nil {
			return nil, err
		}
		return nil, f(c, a)
	})
}

// On2 registers a method of two arguments without result.
func On2[A, B any](h *Hub, name string, f func(*Call, A, B) error) {
	h.Handle(name, func(c *Call) (any, error) {
		a, b, err := decode2[A, B](c)
		if err != nil {
			return nil, err
		}
		return nil, f(c, a, b)
	})
}

// Handle0 registers a method without arguments.
func Handle0[R any](h *Hub, name string, f func(*Call) (R, error)) {
	h.Handle(name, func(c *Call) (any, error) {
		if err := c.args.expect(0); err != nil {
			return nil, err
		}
		return result(f(c))
	})
}

// Handle1 registers a method of one argument.
func Handle1[A, R any](h *Hub, name string, f func(*Call, A) (R, error)) {
	h.Handle(name, func(c *Call) (any, error) {
		a, err := decode1[A](c)
		if err != nil {
			return nil, err
		}
		return result(f(c, a))
	})
}

// Handle2 registers a method of two arguments.
func Handle2[A, B, R any](h *Hub, name string, f func(*Call, A, B) (R, error)) {
	h.Handle(name, func(c *Call) (any, error) {
		a, b, err := decode2[A, B](c)
		if err != nil {
			return nil, err
		}
		return result(f(c, a, b))
	})
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

func decode1[A any](c *Call) (a A, err error) {
	if err = c.args.expect(1); err == nil {
		err = c.args.Decode(0, &a)
	}
	return a, err
}

func decode2[A, B any](c *Call) (a A, b B, err error) {
	if err = c.args.expect(2); err != nil {
		return a, b, err
	}
	if err = c.args.Decode(0, &a); err == nil {
		err = c.args.Decode(1, &b)
	}
	return a, b, err
}
