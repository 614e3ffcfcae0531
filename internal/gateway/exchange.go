package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/route"
)

// exchange is one request and its answer. A pool keeps it with its buffers; nothing of it may be held beyond its handler.
type exchange struct {
	g      *Gateway
	w      http.ResponseWriter
	r      *http.Request
	start  time.Time
	route  string // for the metrics
	status int    // answered; zero: not yet
	class
	body  body
	lines []byte // the head of the request, then as much of its body as goes with it
	tried []*balance.Node
}

// class is how a call is treated.
type class struct {
	kind     balance.Kind
	safe     bool          // it only reads
	keyed    bool          // it has an idempotency key
	measured bool          // how long it takes says something of its node
	within   time.Duration // zero: it may take as long as it wants
	limit    int64         // of its body, in bytes
	mark     string        // value of the header that tells the node of us; empty: none
	holder   route.NodeID  // the only node that can answer; empty: all can
}

// Bounds of bodies, in bytes, and what of a body is read before a node is chosen.
const (
	maxBody      = 128 << 10
	maxBatchBody = 16 << 20
	keepBuffer   = 16 << 10 // as much as a pooled exchange keeps
)

func (x *exchange) begin(w http.ResponseWriter, r *http.Request) {
	x.w, x.r, x.start = w, r, x.g.opts.Now()
	x.route, x.status = "other", 0
	x.class = class{}
	dropNamed(r.Header)
}

// finish reports the exchange and gives it back.
func (x *exchange) finish() {
	x.g.opts.Observe(x.route, x.status, x.g.opts.Now().Sub(x.start))
	x.body.release(x.g)
	x.w, x.r = nil, nil
	clear(x.tried)
	x.tried = x.tried[:0]
	if cap(x.lines) > keepBuffer {
		x.lines = nil
	}
	x.g.exchanges.Put(x)
}

// head sends the status with the headers that are set.
func (x *exchange) head(status int) {
	x.status = status
	if x.g.draining.Load() {
		x.w.Header().Set("Connection", "close")
	}
	x.w.WriteHeader(status)
}

func (x *exchange) text(status int, body string) {
	x.route = x.r.URL.Path
	x.w.Header().Set("Content-Type", "application/json")
	x.head(status)
	_, _ = x.w.Write([]byte(body)) // the caller may have gone
}

// context ends with the caller, and for what goes on for long also with the gateway.
func (x *exchange) context() (context.Context, context.CancelFunc) {
	if x.kind != balance.Stream && x.kind != balance.Tunnel {
		return x.r.Context(), func() {}
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	stop := context.AfterFunc(x.g.ended, cancel)
	return ctx, func() { stop(); cancel() }
}
