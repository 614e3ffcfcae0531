package signalr

// Filter stands around what a hub does: to log, to measure, to allow or to refuse. Each part gets the next one to call,
// and may leave that out. A nil part passes everything on.
type Filter struct {
	// Invoke stands around each method. The result of a streaming method is its sequence, which has not begun; what
	// is refused before it reaches a method (an unknown name, a wrong number of streams) does not come by.
	Invoke func(c *Call, next HandlerFunc) (any, error)
	// Connected stands around OnConnected.
	Connected func(c *Conn, next func(*Conn) error) error
	// Disconnected stands around OnDisconnected.
	Disconnected func(c *Conn, err error, next func(*Conn, error))
}

// Use adds filters. The first one is the outermost.
func (h *Hub) Use(filters ...Filter) { h.filters = append(h.filters, filters...) }

// filtered puts the filters around a hub's copy.
func (h *Hub) filtered() {
	for i := len(h.filters) - 1; i >= 0; i-- {
		f := h.filters[i]
		if f.Invoke != nil {
			h.filterMethods(f.Invoke)
		}
		if f.Connected != nil {
			next := h.OnConnected
			if next == nil {
				next = func(*Conn) error { return nil }
			}
			h.OnConnected = func(c *Conn) error { return f.Connected(c, next) }
		}
		if f.Disconnected != nil {
			next := h.OnDisconnected
			if next == nil {
				next = func(*Conn, error) {}
			}
			h.OnDisconnected = func(c *Conn, err error) { f.Disconnected(c, err, next) }
		}
	}
}

func (h *Hub) filterMethods(around func(*Call, HandlerFunc) (any, error)) {
	for key, m := range h.methods {
		inner := *m
		inner.run = func(c *Call) (any, error) { return around(c, m.run) }
		h.methods[key] = &inner
	}
}
