package gateway

import (
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// pacedWriter copies a long response in parts. Each part must be written within WriteTimeout. Except for streams, the next part
// must arrive in time, and the client must read at minReadRate, so that an idle peer does not hold the slot.
type pacedWriter struct {
	*attempt
	conn    *upstream.Conn
	control *http.ResponseController
	stream  bool // parts are flushed as they arrive
	began   time.Time
	written int64 // bytes
}

// copy sends the head, the buffered part of the response, and the rest.
func (p *pacedWriter) copy(a upstream.Answer) error {
	p.conn.Extend(p.nodeDeadline())
	p.head(a.Status)
	if kept := p.answer.bytes; len(kept) > 0 {
		if _, err := p.Write(kept); err != nil {
			return upstream.CallerError(err)
		}
		p.answer.release(p.g)
	}
	if p.stream {
		_, _ = p.Write(nil) // flushes the head: the first event may come much later
	}
	return p.conn.Copy(p, a)
}

// Write implements io.Writer. net/http removes the last write deadline after the response.
func (p *pacedWriter) Write(part []byte) (int, error) {
	var n int
	var err error
	now := p.g.opts.Now()
	p.written += int64(len(part))
	deadline := now.Add(p.g.opts.WriteTimeout)
	if all := p.began.Add(p.g.opts.WriteTimeout + time.Duration(p.written)*time.Second/minReadRate); !p.stream && all.Before(deadline) {
		deadline = all
	}
	p.setWriteDeadline(deadline)
	if n, err = p.w.Write(part); err == nil && p.stream {
		err = p.control.Flush()
	}
	p.conn.Extend(p.nodeDeadline())
	return n, err
}
