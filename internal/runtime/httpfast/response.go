package httpfast

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBufferedBody bounds the bodies of known length that are copied into the buffer, in bytes. Longer ones are written
// directly.
const maxBufferedBody = 8 << 10

// response implements http.ResponseWriter. It buffers the response and writes it after the handler has returned, usually with
// one system call.
type response struct {
	worker     *worker
	header     http.Header
	status     int
	body       []byte
	out        []byte
	closeAfter bool  // the connection is closed after this response
	sent       bool  // send was called
	writeErr   error // error of writing the response
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. Only the first final status counts.
func (r *response) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *response) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.sent {
		return 0, http.ErrContentLength
	}
	if len(b) > maxBufferedBody && len(r.body) == 0 && r.header.Get("Content-Length") == strconv.Itoa(len(b)) {
		r.send(b)
		return len(b), r.writeErr
	}
	r.body = append(r.body, b...)
	return len(b), nil
}

// SetWriteDeadline supports http.ResponseController.
func (r *response) SetWriteDeadline(t time.Time) error { return r.worker.conn.net.SetWriteDeadline(t) }

// writeTimeout bounds the writing of a response.
const writeTimeout = time.Minute

// send writes the response with this body.
func (r *response) send(body []byte) {
	r.sent = true
	r.closeAfter = r.worker.conn.server.draining.Load() || strings.EqualFold(r.header.Get("Connection"), "close")
	now := time.Now()
	_ = r.worker.conn.net.SetWriteDeadline(now.Add(writeTimeout)) // it cannot fail
	r.out = r.appendHead(r.out, now, body)
	if r.status == http.StatusNoContent || r.status == http.StatusNotModified {
		body = nil
	}
	if len(body) <= maxBufferedBody {
		r.out = append(r.out, body...) // one system call
		body = nil
	}
	if _, r.writeErr = r.worker.conn.net.Write(r.out); r.writeErr == nil && len(body) > 0 {
		_, r.writeErr = r.worker.conn.net.Write(body)
	}
}

// finish sends the response if the handler has not, resets it, and reports whether the connection can be used again.
func (r *response) finish() bool {
	r.WriteHeader(http.StatusOK)
	if !r.sent {
		r.send(r.body)
	}
	again := r.writeErr == nil && !r.closeAfter
	r.clear()
	return again
}

func (r *response) clear() {
	clear(r.header)
	r.status = 0
	r.body = r.body[:0]
	r.out = r.out[:0]
	r.closeAfter = false
	r.sent = false
	r.writeErr = nil
	if cap(r.body) > 2*maxBufferedBody || cap(r.out) > 2*maxBufferedBody {
		r.body, r.out = nil, nil
	}
}

func (r *response) appendHead(b []byte, now time.Time, body []byte) []byte {
	b = append(strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(r.status), 10), ' ')
	b = append(append(b, http.StatusText(r.status)...), "\r\n"...)
	for name, values := range r.header {
		if isManagedField(name) {
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
	if r.closeAfter {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// isManagedField reports whether the server alone sets this field.
func isManagedField(name string) bool {
	return name == "Content-Length" || name == "Connection" || name == "Transfer-Encoding"
}

// appendField appends a header line. It replaces line breaks in the value, which would start another field.
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
