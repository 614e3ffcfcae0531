package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/requestid"
)

// exchange is the state of one request and its response. It comes from a pool with its buffers, so nothing may refer to it
// after its handler has returned.
type exchange struct {
	api      *API
	w        http.ResponseWriter
	r        *http.Request
	start    time.Time
	params   [maxParams]string // values of the path's parameters, in order
	caller   auth.Caller       // authenticated caller; zero on routes without API key
	limits   limits            // limits of the caller's plan
	status   int               // status of the response; zero until it is sent
	reserved int64             // bytes reserved of API.memory in the share of caller.Business
	buffer   []byte            // method, path and body of the request, later the body of the response
	in       messageInput

	bodyRead      bool // the whole body was read
	hasParameters bool // the route takes query parameters
	queryToken    bool // the token may come in the query parameter access_token
}

// maxPooledBuffer is the largest buffer that an exchange keeps in the pool, in bytes. Larger ones are reserved in
// API.memory while they are in use.
const maxPooledBuffer = 16 << 10

// begin prepares a pooled exchange for a request.
func (x *exchange) begin(w http.ResponseWriter, r *http.Request) {
	x.w = w
	x.r = r
	x.start = time.Now()
	x.params = [maxParams]string{}
	x.caller = auth.Caller{}
	x.status = 0
	x.bodyRead = false
	x.queryToken, x.hasParameters = false, false
}

// release frees the exchange's reservations and returns it to the pool.
func (x *exchange) release() {
	x.api.memory.Release(x.caller.Business, x.reserved)
	x.reserved = 0
	x.limits.endCall()
	x.w, x.r = nil, nil
	x.in.list, x.in.unknownNames = nil, nil
	if cap(x.buffer) > maxPooledBuffer || cap(x.in.text) > maxPooledBuffer {
		x.buffer, x.in.text = nil, nil
	}
	x.in.data = nil
	x.api.exchanges.Put(x)
}

// reserve reserves n bytes of API.memory in the share of the caller's business. It returns RateLimited if the share is
// used up, and Overloaded if the whole memory is. All administrators count as one business.
func (x *exchange) reserve(n int64) error {
	err := x.api.memory.TryAcquire(x.caller.Business, n)
	if err != nil {
		return shareError(err, "large calls")
	}
	x.reserved += n
	return nil
}

// runQuery runs a query for many rows. It waits for a slot, which businesses share fairly.
func (x *exchange) runQuery(read func() error) error {
	if err := x.api.queries.Acquire(x.r.Context(), x.caller.Business, 1); err != nil {
		return shareError(err, "queries")
	}
	defer x.api.queries.Release(x.caller.Business, 1)
	return read()
}

// shareError translates an error of a fairshare.Pool into the platform's error.
func shareError(err error, what string) error {
	switch {
	case errors.Is(err, fairshare.ErrShare):
		return &esh3ar.Error{Code: esh3ar.RateLimited, Text: "this business has too many " + what + " in progress", RetryAfter: time.Second}
	case errors.Is(err, fairshare.ErrFull):
		return &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many " + what + " are in progress"}
	default:
		return esh3ar.Errorf(esh3ar.Abandoned, "%w", err)
	}
}

// answer sends a JSON body with the rate-limit headers.
func (x *exchange) answer(status int, body []byte) error {
	h := x.w.Header()
	h["Content-Type"] = jsonType
	if h[limitHeader] == nil {
		x.showLimits()
	}
	x.send(status, body)
	return nil
}

const (
	// minLargeAnswer is the size from which a body may exceed the socket's send buffer, in bytes. Such a body must be read
	// within largeAnswerTimeout, so that a client that does not read cannot hold it.
	minLargeAnswer     = 64 << 10
	largeAnswerTimeout = time.Minute
	// minExplicitLength is the size from which net/http does not set Content-Length itself and would send chunks, in bytes.
	minExplicitLength = 2 << 10
)

// send sends the status, the headers set so far, and the body. Write errors are ignored: the client has disconnected.
func (x *exchange) send(status int, body []byte) {
	x.status = status
	if len(body) >= minExplicitLength {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if len(body) < minLargeAnswer {
		x.w.WriteHeader(status)
		_, _ = x.w.Write(body)
		return
	}
	control := http.NewResponseController(x.w)
	_ = control.SetWriteDeadline(time.Now().Add(largeAnswerTimeout)) // only the writers of tests have no deadlines
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{})
}

// statusClientClosedRequest is the status in metrics and log of a request whose client disconnected, which is no sign of
// overload. nginx uses the same number.
const statusClientClosedRequest = 499

// canceledByCaller reports whether err is the result of the client's disconnect.
func canceledByCaller(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (esh3ar.CodeOf(err) == esh3ar.Abandoned || errors.Is(err, context.Canceled))
}

// largeBody is the length in bytes above which an unread body must not delay an error. net/http reads up to 256 KiB of a body before the
// answer if it keeps the connection, and after the answer if it closes the connection. So a caller that announces a body and does
// not send it would otherwise wait until the read timeout, with its slot at a gateway.
const largeBody = 16 << 10

// writeError answers with the problem document of err. If the response has begun already, it only logs.
func (x *exchange) writeError(err error) {
	if x.status == 0 && canceledByCaller(x.r.Context(), err) {
		x.w.Header().Set("Connection", "close")
		x.send(statusClientClosedRequest, nil)
		return
	}
	p := problemOf(err)
	x.log(p, err)
	if x.status != 0 {
		return
	}
	p.RequestID = requestid.Of(x.w.Header())
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"code":"internal"}`) // strings and numbers always encode
	}
	p.headers(x.w.Header())
	if x.r.ProtoMajor == 1 && !x.bodyRead && (x.r.ContentLength < 0 || x.r.ContentLength > largeBody) { // HTTP/2 does not wait, and would end its other calls
		x.w.Header().Set("Connection", "close")
	}
	x.showLimits()
	x.send(p.Status, body)
}

// log logs internal failures and unknown outcomes, which an operator must know. Metrics count the rest.
func (x *exchange) log(p *problem, err error) {
	if x.r.Context().Err() != nil || p.Code != internal.code && p.Code != outcomeUnknown.code {
		return // errors after the client's disconnect are its consequence
	}
	x.api.Log.Error("request failed", "method", x.r.Method, "path", x.r.URL.Path, "code", p.Code, "requestId", requestid.Of(x.w.Header()), "error", err)
}

// observe reports the finished exchange to metrics, and to the log at debug level. It never logs the query or a header,
// which may contain secrets.
func (x *exchange) observe(route string) {
	took := time.Since(x.start)
	x.api.Observe(route, x.status, took)
	if x.api.Log.Enabled(x.r.Context(), slog.LevelDebug) {
		x.api.Log.Debug("request", "method", x.r.Method, "path", x.r.URL.Path, "status", x.status, "took", took, "requestId", requestid.Of(x.w.Header()))
	}
}

// recoverPanic answers 500 after a handler's panic. cause is the result of recover; nil: there was no panic.
func (x *exchange) recoverPanic(cause any) {
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		panic(cause)
	}
	x.reportPanic(cause)
	if x.status != 0 {
		panic(http.ErrAbortHandler) // closes the connection: a partial response must not look complete
	}
	x.writeError(internal.problem(internal.hint))
}

// reportPanic passes a panic's cause to Config.OnPanic, or logs it with the stack.
func (x *exchange) reportPanic(cause any) {
	if x.api.OnPanic != nil {
		x.api.OnPanic(cause)
		return
	}
	x.api.Log.Error("handler panicked", "method", x.r.Method, "path", x.r.URL.Path, "cause", cause, "requestId", requestid.Of(x.w.Header()), "stack", string(debug.Stack()))
}
