package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/requestid"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// exchange is the state of one request and its response. It comes from a pool with its buffers, so nothing may refer to it
// after its handler has returned.
type exchange struct {
	g         *Gateway
	w         http.ResponseWriter
	r         *http.Request
	start     time.Time
	requestID []string // value of X-Request-Id, in the request to the node and in the response
	route     string   // name of the route in metrics
	status    int      // status of the response; zero until it is sent
	class
	who        owner  // owner of the resources that the call uses
	credential uint64 // hash of the credential; zero if none
	body       body
	lines      []byte // head of the request and the part of its body that is sent with it
	tried      []*balance.Node
	answer     bufferedResponse // buffered response of a node
	large      bool             // it holds a slot for a large call, which counts for largeOf
	largeOf    owner
}

// class determines how a call is handled.
type class struct {
	kind     balance.Kind
	safe     bool              // it changes nothing
	keyed    bool              // it has an idempotency key
	measured bool              // its latency is meaningful for the Balancer
	within   time.Duration     // bound of the response time; zero: none
	limit    int64             // bound of its body, in bytes
	proves   bool              // a successful response means that the node has accepted the credential
	page     bool              // its response is long and needs no credential
	mark     string            // value of MarkHeader; empty: none
	holder   membership.NodeID // only node that can answer; empty: any
}

// Bounds of bodies, in bytes.
const (
	maxBody      = 128 << 10
	maxBatchBody = 16 << 20
	keepBuffer   = 16 << 10 // largest buffer of a pooled exchange
)

func (x *exchange) begin(w http.ResponseWriter, r *http.Request) {
	x.w = w
	x.r = r
	x.start = x.g.opts.Now()
	x.route = "other"
	x.status = 0
	x.class = class{}
	x.who, x.credential = x.g.owners.of(r, x.start)
	connlimit.Touch(r.Context())
	removeConnectionHeaders(r.Header)
	x.requestID = requestid.Set(w.Header(), r.Header)
	r.Header[requestid.Header] = x.requestID
}

// finish reports the exchange to metrics, frees what it holds, and returns it to the pool.
func (x *exchange) finish() {
	x.g.opts.Observe(x.route, x.status, x.g.opts.Now().Sub(x.start))
	x.body.release(x.g)
	x.answer.release(x.g)
	x.leaveLarge()
	x.w, x.r, x.requestID = nil, nil, nil
	clear(x.tried)
	x.tried = x.tried[:0]
	if cap(x.lines) > keepBuffer {
		x.lines = nil
	}
	x.g.exchanges.Put(x)
}

// head sends the status with the headers set so far. It sets a write deadline, which net/http removes after the response. If
// the client has not sent all of its body, the connection is closed after the response.
func (x *exchange) head(status int) {
	x.status = status
	if x.g.draining.Load() || x.r.ProtoMajor == 1 && x.body.source != nil && !x.body.consumed() {
		x.w.Header().Set("Connection", "close")
	}
	x.w.Header()[requestid.Header] = x.requestID
	x.setSecurityHeaders()
	x.setWriteDeadline(x.g.opts.Now().Add(x.g.opts.WriteTimeout))
	x.w.WriteHeader(status)
}

// Values of security headers, shared by all responses and never changed.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noFrames   = []string{"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
)

// setSecurityHeaders sets the security headers. A Content-Security-Policy of the node stays, because its pages have their own.
func (x *exchange) setSecurityHeaders() {
	h := x.w.Header()
	h["X-Content-Type-Options"] = noSniff
	h["Referrer-Policy"] = noReferrer
	policies := h["Content-Security-Policy"]
	if len(policies) == 0 {
		h["Content-Security-Policy"] = noFrames
	} else {
		h["Content-Security-Policy"] = policies[len(policies)-1:] // the last one is the node's
	}
}

// setWriteDeadline sets the deadline by which the client must have read what is written.
func (x *exchange) setWriteDeadline(deadline time.Time) {
	_ = http.NewResponseController(x.w).SetWriteDeadline(deadline) // only the writers of tests have no deadlines
}

func (x *exchange) text(status int, body string) {
	x.route = x.r.URL.Path
	x.w.Header().Set("Content-Type", "application/json")
	x.head(status)
	_, _ = x.w.Write([]byte(body)) // the caller may have gone
}

// context returns the context of the call. For a long call it is cancelled when the gateway stops. With HTTP/1 it is not
// cancelled when the client closes its sending side: such a client may still wait for the response, and only a write shows
// whether it has disconnected. With HTTP/2 it is cancelled when the client resets the stream.
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
