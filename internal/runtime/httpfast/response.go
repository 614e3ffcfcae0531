package httpfast

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// keepAnswer bounds the bodies that are gathered, in bytes, where the handler says how long they are; longer ones are not copied.
const keepAnswer = 8 << 10

// response gathers an answer, which goes out in one piece when the handler has returned.
type response struct {
	worker *worker
	header http.Header
	status int
	body   []byte
	out    []byte
	last   bool  // no call follows
	sent   bool  // it is out
	failed error // to write it
}

// Header realises http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader realises http.ResponseWriter. The first status counts.
func (r *response) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
}

// Write realises http.ResponseWriter.
func (r *response) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	switch {
	case r.sent:
		return 0, http.ErrContentLength
	case len(b) > keepAnswer && len(r.body) == 0 && r.header.Get("Content-Length") == strconv.Itoa(len(b)):
		r.send(b)
		return len(b), r.failed
	}
	r.body = append(r.body, b...)
	return len(b), nil
}

// SetWriteDeadline is for http.ResponseController.
func (r *response) SetWriteDeadline(t time.Time) error { return r.worker.conn.net.SetWriteDeadline(t) }

// slowest is how long an answer may take to be taken.
const slowest = time.Minute

// send writes the answer with its body.
func (r *response) send(body []byte) {
	r.sent = true
	r.last = r.worker.conn.server.draining.Load() || strings.EqualFold(r.header.Get("Connection"), "close")
	now := time.Now()
	_ = r.worker.conn.net.SetWriteDeadline(now.Add(slowest)) // it cannot fail
	r.out = r.appendHead(r.out, now, body)
	if r.status == http.StatusNoContent || r.status == http.StatusNotModified {
		body = nil
	}
	if len(body) <= keepAnswer {
		r.out = append(r.out, body...) // one system call
		body = nil
	}
	if _, r.failed = r.worker.conn.net.Write(r.out); r.failed == nil && len(body) > 0 {
		_, r.failed = r.worker.conn.net.Write(body)
	}
}

// finish sends what the handler has not sent, makes room for the next answer, and tells whether there can be one.
func (r *response) finish() bool {
	r.WriteHeader(http.StatusOK)
	if !r.sent {
		r.send(r.body)
	}
	again := r.failed == nil && !r.last
	r.clear()
	return again
}

func (r *response) clear() {
	clear(r.header)
	r.status, r.body, r.out, r.last, r.sent, r.failed = 0, r.body[:0], r.out[:0], false, false, nil
	if cap(r.body) > 2*keepAnswer || cap(r.out) > 2*keepAnswer {
		r.body, r.out = nil, nil
	}
}

func (r *response) appendHead(b []byte, now time.Time, body []byte) []byte {
	b = append(strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(r.status), 10), ' ')
	b = append(append(b, http.StatusText(r.status)...), "\r\n"...)
	for name, values := range r.header {
		if ours(name) {
			continue
		}
		for _, value := range values {
			b = appendField(b, name, value)
		}
	}
	if len(r.header["Content-Type"]) == 0 && len(body) > 0 {
		b = appendField(b, "Content-Type", http.DetectContentType(body))
	}
	if r.header["Date"] == nil {
		b = appendField(b, "Date", r.worker.conn.server.clock.date(now))
	}
	if r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10), "\r\n"...)
	}
	if r.last {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// ours are fields that a handler does not decide: there is one way in which the answer goes out.
func ours(name string) bool {
	return name == "Content-Length" || name == "Connection" || name == "Transfer-Encoding"
}

// appendField writes a line; an end of line within it would be another field.
func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	from := len(b)
	b = append(b, value...)
	for i := from; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' {
			b[i] = ' '
		}
	}
	return append(b, "\r\n"...)
}
