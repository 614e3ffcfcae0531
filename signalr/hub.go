package signalr

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Hub holds the methods that clients can call and the hooks for their connections. It must be complete before [NewServer],
// which copies it.
type Hub struct {
	// OnConnected runs after the handshake and before the first invocation of the connection. If it returns an error,
	// the connection is closed without permission to reconnect, and OnDisconnected does not run. It may block.
	OnConnected func(*Conn) error

	// OnDisconnected runs exactly once for each connection whose OnConnected succeeded, after all its running handlers
	// have returned (calls open by [Call.Defer] do not count). The error is nil if the client ended the connection
	// or vanished, or if the application called [Conn.Abort]. It may block.
	OnDisconnected func(*Conn, error)

	// OnWritable runs when a connection that returned [ErrFull] has room again. It may also run without such an error,
	// after completions alone have filled the outbox. Calls for one connection never overlap. It runs on its own
	// goroutine and may call any method.
	OnWritable func(*Conn)

	methods map[string]*method
	filters []Filter
}

// HandlerFunc implements one hub method. Its return values complete the call, unless it called [Call.Defer]. A nil result is
// sent as no result. It may block: only its own connection waits.
type HandlerFunc func(*Call) (any, error)

type method struct {
	name    string
	run     HandlerFunc
	stream  bool // run returns a sequence
	uploads int  // number of client streams
}

// NewHub returns a hub without methods.
func NewHub() *Hub { return &Hub{methods: make(map[string]*method)} }

// Handle registers a method. Its name is matched case-insensitively. Handle panics if the name is empty or in use.
func (h *Hub) Handle(name string, run HandlerFunc) {
	h.register(method{name: name, run: run})
}

// HandleStream registers a method that streams its results and decodes its arguments itself. See [Stream0] for the typed
// form.
func (h *Hub) HandleStream(name string, run func(*Call) (iter.Seq2[any, error], error)) {
	h.register(method{name: name, stream: true, run: func(c *Call) (any, error) {
		items, err := run(c)
		return sequenceOf[any](items), err
	}})
}

func (h *Hub) register(m method) {
	key := strings.ToLower(m.name)
	if key == "" || m.run == nil {
		panic("signalr: hub method without name or function")
	}
	if h.methods == nil {
		h.methods = make(map[string]*method)
	}
	if _, taken := h.methods[key]; taken {
		panic("signalr: hub method " + m.name + " is registered twice")
	}
	h.methods[key] = &m
}

// frozen returns a copy that later registrations do not change. It also maps the exact names of the methods, so that the
// usual lookup needs no case conversion.
func (h *Hub) frozen() *Hub {
	c := *h
	c.methods = make(map[string]*method, 2*len(h.methods))
	maps.Copy(c.methods, h.methods)
	c.filtered()
	for _, m := range slices.Collect(maps.Values(c.methods)) {
		c.methods[m.name] = m
	}
	return &c
}

func (h *Hub) lookup(target []byte) *method {
	if m, ok := h.methods[string(target)]; ok {
		return m
	}
	return h.methods[strings.ToLower(string(target))]
}
