package signalr

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Hub is what clients can call and what the application is told about their connections. Fill it before [NewServer];
// the server reads it then and never again.
type Hub struct {
	// OnConnected runs after the handshake and before the connection's first invocation is dispatched. An error
	// closes the connection, whose client may not reconnect; OnDisconnected does not run then. May block.
	OnConnected func(*Conn) error

	// OnDisconnected runs exactly once for each connection whose OnConnected succeeded, after all its running handlers
	// have returned (calls open by [Call.Defer] do not count). The error is nil when the client ended the connection
	// or vanished, or the application called [Conn.Abort]. May block.
	OnDisconnected func(*Conn, error)

	// OnWritable runs when a connection that answered [ErrFull] has room again (and may run without such an answer,
	// when completions alone had filled the outbox). Calls for one connection never
	// overlap. It has a goroutine of its own and may call anything.
	OnWritable func(*Conn)

	methods map[string]*method
	filters []Filter
}

// HandlerFunc serves one hub method. What it returns completes the call, unless it called [Call.Defer]. A nil result is
// sent as no result at all. It may block: only its own connection waits.
type HandlerFunc func(*Call) (any, error)

type method struct {
	name    string
	run     HandlerFunc
	stream  bool // run returns a sequence
	uploads int  // streams that the client brings
}

// NewHub returns a hub without methods.
func NewHub() *Hub { return &Hub{methods: make(map[string]*method)} }

// Handle registers a method. Clients find it whatever the case of its letters. It panics when the name is empty or
// taken, as a fault of the program.
func (h *Hub) Handle(name string, run HandlerFunc) {
	h.register(method{name: name, run: run})
}

// HandleStream registers a method that streams its results; see [Stream0]. It is Handle for those who decode by
// themselves.
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

// frozen returns a copy that later registrations do not reach. It also holds the methods under their exact names, so
// that the usual lookup need not change letters.
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
