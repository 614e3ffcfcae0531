package gateway

import (
	"net/http"

	"github.com/esh3artech/esh3ar/internal/gateway/backend"
)

// paced passes a long answer on in parts. Both sides keep their own pace, but neither keeps the slot by doing nothing: a part
// has to be taken in time, and, but in a stream, the next one has to come.
type paced struct {
	*trial
	conn    *backend.Conn
	control *http.ResponseController
	stream  bool // parts go on as they come
}

// pass gives the caller the head and all that follows.
func (p *paced) pass(a backend.Answer) error {
	p.conn.Extend(p.patience())
	p.head(a.Status)
	if p.stream {
		_, _ = p.Write(nil) // the first part may be long in coming; a caller who has gone is met there
	}
	return p.conn.Copy(p, a)
}

// Write lets the caller have a part. The last one's deadline ends with the answer, as net/http lifts it then.
func (p *paced) Write(part []byte) (n int, err error) {
	_ = p.control.SetWriteDeadline(p.g.opts.Now().Add(p.g.opts.TakeWithin)) // as in heard
	if n, err = p.w.Write(part); err == nil && p.stream {
		err = p.control.Flush()
	}
	p.conn.Extend(p.patience())
	return n, err
}
