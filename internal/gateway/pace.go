package gateway

import (
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// paced passes a long answer on in parts. Both sides keep their own pace, but neither keeps the slot by doing nothing: a part
// has to be taken in time, and, but in a stream, the next one has to come, and all of them at takeRate.
type paced struct {
	*trial
	conn    *upstream.Conn
	control *http.ResponseController
	stream  bool // parts go on as they come
	began   time.Time
	written int64 // bytes
}

// pass gives the caller the head, what was kept, and all that follows.
func (p *paced) pass(a upstream.Answer) error {
	p.conn.Extend(p.patience())
	p.head(a.Status)
	if kept := p.answer.bytes; len(kept) > 0 {
		if _, err := p.Write(kept); err != nil {
			return upstream.CallerError(err)
		}
		p.answer.release(p.g)
	}
	if p.stream {
		_, _ = p.Write(nil) // the first part may be long in coming; a caller who has gone is met there
	}
	return p.conn.Copy(p, a)
}

// Write lets the caller have a part. The last one's deadline ends with the answer, as net/http lifts it then.
func (p *paced) Write(part []byte) (n int, err error) {
	now := p.g.opts.Now()
	p.written += int64(len(part))
	deadline := now.Add(p.g.opts.TakeWithin)
	if all := p.began.Add(p.g.opts.TakeWithin + time.Duration(p.written)*time.Second/takeRate); !p.stream && all.Before(deadline) {
		deadline = all
	}
	p.takeUntil(deadline)
	if n, err = p.w.Write(part); err == nil && p.stream {
		err = p.control.Flush()
	}
	p.conn.Extend(p.patience())
	return n, err
}
