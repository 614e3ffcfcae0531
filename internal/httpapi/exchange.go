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
)

// exchange is one request and its answer. A pool keeps it with its buffers; nothing of it may be held beyond its handler.
type exchange struct {
	api      *API
	w        http.ResponseWriter
	r        *http.Request
	start    time.Time
	params   [maxParams]string // values of the path's {…}, in order
	caller   auth.Caller       // of a business's call
	limits   limits            // that it is held to
	status   int               // answered; zero: not yet
	reserved int64             // bytes of the API's memory for large bodies and answers, out of the share of caller.Business
	buffer   []byte            // the request's line and body, then the answer
	in       messageInput

	takesQuery bool // the call has query parameters
	queryToken bool // the token may be in the query parameter access_token
}

// keepBuffer is as much as a pooled exchange keeps, in bytes; what is larger is counted while it lasts.
const keepBuffer = 16 << 10

func (x *exchange) begin(w http.ResponseWriter, r *http.Request) {
	x.w, x.r, x.start = w, r, time.Now()
	x.params, x.caller, x.status = [maxParams]string{}, auth.Caller{}, 0
	x.queryToken, x.takesQuery = false, false
}

// end gives the exchange back.
func (x *exchange) end() {
	x.api.memory.Release(x.caller.Business, x.reserved)
	x.reserved = 0
	x.limits.leave()
	x.w, x.r = nil, nil
	x.in.list, x.in.strays = nil, nil
	if cap(x.buffer) > keepBuffer || cap(x.in.text) > keepBuffer {
		x.buffer, x.in.text = nil, nil
	}
	x.in.data = nil
	x.api.exchanges.Put(x)
}

// reserve takes n bytes of the memory for large bodies and answers out of the share of the caller's business. It returns
// RateLimited if the business has its share, and Overloaded if all of the memory is in use. Administrators share as one
// business.
func (x *exchange) reserve(n int64) error {
	err := x.api.memory.TryAcquire(x.caller.Business, n)
	if err != nil {
		return shareError(err, "large calls")
	}
	x.reserved += n
	return nil
}

// query runs a read of many rows within the share of such reads that the caller's business has. It waits for its turn.
func (x *exchange) query(read func() error) error {
	if err := x.api.queries.Acquire(x.r.Context(), x.caller.Business, 1); err != nil {
		return shareError(err, "queries")
	}
	defer x.api.queries.Release(x.caller.Business, 1)
	return read()
}

// shareError is the answer to a call that finds no room in a shared resource.
func shareError(err error, what string) error {
	switch {
	case errors.Is(err, fairshare.ErrShare):
		return &esh3ar.Error{Code: esh3ar.RateLimited, Text: "this business has too many " + what + " under way", RetryAfter: time.Second}
	case errors.Is(err, fairshare.ErrFull):
		return &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many " + what + " are under way"}
	default:
		return esh3ar.Errorf(esh3ar.Abandoned, "%w", err)
	}
}

// answer sends a body of JSON.
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
	// largeAnswer is what a connection may not take at once, in bytes: such a caller gets slowAnswer to read it, so that
	// one who does not read cannot hold it for ever.
	largeAnswer = 64 << 10
	slowAnswer  = time.Minute
	// countedAnswer is what net/http does not count by itself: longer answers would go out in chunks.
	countedAnswer = 2 << 10
)

// send sends the status, the headers that are set, and the body. A caller who has gone hears nothing.
func (x *exchange) send(status int, body []byte) {
	x.status = status
	if len(body) >= countedAnswer {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if len(body) < largeAnswer {
		x.w.WriteHeader(status)
		_, _ = x.w.Write(body)
		return
	}
	control := http.NewResponseController(x.w)
	_ = control.SetWriteDeadline(time.Now().Add(slowAnswer)) // not every writer has deadlines; ours has
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{})
}

// statusCallerGone is for metrics and log: the connection of the call was over, which is no sign of overload. Other servers use the
// same number for it.
const statusCallerGone = 499

// cancelled reports whether a call failed because its connection was over.
func cancelled(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (esh3ar.CodeOf(err) == esh3ar.Abandoned || errors.Is(err, context.Canceled))
}

// refuse answers an error.
func (x *exchange) refuse(err error) {
	if x.status == 0 && cancelled(x.r.Context(), err) {
		x.w.Header().Set("Connection", "close")
		x.send(statusCallerGone, nil)
		return
	}
	p := problemOf(err)
	x.log(p, err)
	if x.status != 0 {
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"code":"internal"}`) // strings and numbers always encode
	}
	p.headers(x.w.Header())
	x.showLimits()
	x.send(p.Status, body)
}

// log writes down what an operator has to know: failures that are ours. The rest is in the metrics.
func (x *exchange) log(p *problem, err error) {
	if x.r.Context().Err() != nil || p.Code != internal.code && p.Code != outcomeUnknown.code {
		return // also: whatever went wrong after the caller left
	}
	x.api.Log.Error("request failed", "method", x.r.Method, "path", x.r.URL.Path, "code", p.Code, "error", err)
}

// observe reports the exchange when it is over. The log gets it at debug level only, and never the query or a header:
// they may hold secrets.
func (x *exchange) observe(route string) {
	took := time.Since(x.start)
	x.api.Observe(route, x.status, took)
	if x.api.Log.Enabled(x.r.Context(), slog.LevelDebug) {
		x.api.Log.Debug("request", "method", x.r.Method, "path", x.r.URL.Path, "status", x.status, "took", took)
	}
}

// survive answers a handler's panic; cause is what recover gave.
func (x *exchange) survive(cause any) {
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		panic(cause)
	}
	x.notePanic(cause)
	if x.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	x.refuse(internal.problem(internal.hint))
}

// notePanic logs a panic, or has it logged.
func (x *exchange) notePanic(cause any) {
	if x.api.Panicked != nil {
		x.api.Panicked(cause)
		return
	}
	x.api.Log.Error("handler panicked", "method", x.r.Method, "path", x.r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
}
