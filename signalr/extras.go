package signalr

import "net/http"

// extras is the state that most connections never need. It is allocated on first use, so that an idle connection holds only
// a nil pointer.
type extras struct {
	calls    callIndex
	uploads  uploads
	requests requests
	member   membership
	probe    probe
	streamed int // bytes of the arguments of open calls with streams; guarded by dispatcher.mu
	request  *http.Request
}

// noExtras is the shared state of connections that have ended without extras. It is never written to.
var noExtras = extras{calls: callIndex{closed: true}, uploads: uploads{closed: true}, requests: requests{closed: true}, member: membership{ended: true}}

// extras returns the connection's extras for writing. It allocates them if necessary.
func (c *Conn) extras() *extras {
	if e := c.more.Load(); e != nil {
		return e
	}
	c.more.CompareAndSwap(nil, &extras{})
	return c.more.Load()
}

// existing returns the connection's extras for reading. It does not allocate.
func (c *Conn) existing() *extras {
	if e := c.more.Load(); e != nil {
		return e
	}
	return &noExtras
}

// streaming adds size to the bytes held by calls with streams. The caller holds dispatcher.mu.
func (c *Conn) streaming(size int) {
	if e := c.extras(); e != &noExtras {
		e.streamed += size
	}
}

// endExtras closes the extras: it ends what they hold and refuses additions.
func (c *Conn) endExtras() {
	if c.more.CompareAndSwap(nil, &noExtras) {
		return
	}
	e := c.more.Load()
	c.server.groups.end(c, e)
	e.uploads.close()
	e.requests.close(&disconnectedError{c.id})
}
