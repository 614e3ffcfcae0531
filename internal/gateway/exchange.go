package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
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
	who        owner  // of what the call uses
	credential uint64 // hash; zero: none
	body       body
	lines      []byte // the head of the request, then as much of its body as goes with it
	tried      []*balance.Node
	answer     kept // what a node has answered
	large      bool // it has a place among the large calls
	largeOf    owner
}

// class is how a call is treated.
type class struct {
	kind     balance.Kind
	safe     bool              // it only reads
	keyed    bool              // it has an idempotency key
	measured bool              // how long it takes says something of its node
	within   time.Duration     // zero: it may take as long as it wants
	limit    int64             // of its body, in bytes
	proves   bool              // a good answer means that the node has accepted the credential
	page     bool              // its answer is long, and asked for without a credential
	mark     string            // value of the header that tells the node of us; empty: none
	holder   membership.NodeID // the only node that can answer; empty: all can
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
	x.who, x.credential = x.g.owners.of(r, x.start)
	connlimit.Touch(r.Context())
	dropNamed(r.Header)
}

// finish reports the exchange and gives it back.
func (x *exchange) finish() {
	x.g.opts.Observe(x.route, x.status, x.g.opts.Now().Sub(x.start))
	x.body.release(x.g)
	x.answer.release(x.g)
	x.leaveLarge()
	x.w, x.r = nil, nil
	clear(x.tried)
	x.tried = x.tried[:0]
	if cap(x.lines) > keepBuffer {
		x.lines = nil
	}
	x.g.exchanges.Put(x)
}

// head sends the status with the headers that are set. The caller has a while to take what is passed on; net/http lifts the deadline
// with the end of the answer. Where it has not sent all of its body, the connection ends with the answer.
func (x *exchange) head(status int) {
	x.status = status
	if x.g.draining.Load() || x.body.source != nil && !x.body.consumed() {
		x.w.Header().Set("Connection", "close")
	}
	x.secure()
	x.takeUntil(x.g.opts.Now().Add(x.g.opts.TakeWithin))
	x.w.WriteHeader(status)
}

// Values of security headers, shared by all answers: nothing writes to them.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noFrames   = []string{"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
)

// secure sets the security headers. The policy of a node's answer stays: its pages have their own.
func (x *exchange) secure() {
	h := x.w.Header()
	h["X-Content-Type-Options"] = noSniff
	h["Referrer-Policy"] = noReferrer
	policies := h["Content-Security-Policy"]
	if len(policies) == 0 {
		h["Content-Security-Policy"] = noFrames
	} else {
		h["Content-Security-Policy"] = policies[len(policies)-1:] // the node's is behind the one of this process
	}
}

// takeUntil is when what is written must have been taken by the caller.
func (x *exchange) takeUntil(deadline time.Time) {
	_ = http.NewResponseController(x.w).SetWriteDeadline(deadline) // not every writer has deadlines; ours has
}

func (x *exchange) text(status int, body string) {
	x.route = x.r.URL.Path
	x.w.Header().Set("Content-Type", "application/json")
	x.head(status)
	_, _ = x.w.Write([]byte(body)) // the caller may have gone
}

// context ends, for what goes on for long, with the gateway. It does not end with the caller's side of an HTTP/1 connection: a caller
// that has sent its request may end its side and still wait for the answer, and nothing tells it from one that has gone until it is
// written to. With HTTP/2 a caller that has gone says so.
func (x *exchange) context() (context.Context, context.CancelFunc) {
	base := context.Background()
	if x.r.ProtoMajor > 1 {
		base = x.r.Context()
	}
	if !x.kind.Long() {
		return base, func() {}
	}
	ctx, cancel := context.WithCancel(base)
	stop := context.AfterFunc(x.g.ended, cancel)
	return ctx, func() { stop(); cancel() }
}
