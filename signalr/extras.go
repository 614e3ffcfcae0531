package signalr

import "net/http"

// extras are what most connections never have: they are made when they are first needed, so that idle connections cost
// a nil pointer.
type extras struct {
	calls    callIndex
	uploads  uploads
	requests requests
	member   membership
	probe    probe
	streamed int // bytes of the arguments of open calls with streams; the dispatcher's lock guards it
	request  *http.Request
}

// noExtras are the extras of connections that have ended without any. Nobody writes to them.
var noExtras = extras{calls: callIndex{closed: true}, uploads: uploads{closed: true}, requests: requests{closed: true}, member: membership{ended: true}}

// extras returns the connection's extras to put something in.
func (c *Conn) extras() *extras {
	if e := c.more.Load(); e != nil {
		return e
	}
	c.more.CompareAndSwap(nil, &extras{})
	return c.more.Load()
}

// existing returns the connection's extras to look something up.
func (c *Conn) existing() *extras {
	if e := c.more.Load(); e != nil {
		return e
	}
	return &noExtras
}

// streaming adds to the bytes that calls with streams hold, under the dispatcher's lock.
func (c *Conn) streaming(size int) {
	if e := c.extras(); e != &noExtras {
		e.streamed += size
	}
}

// endExtras lets nothing more in, and ends what there is.
func (c *Conn) endExtras() {
	if c.more.CompareAndSwap(nil, &noExtras) {
		return
	}
	e := c.more.Load()
	c.server.groups.end(c, e)
	e.uploads.close()
	e.requests.close(&disconnectedError{c.id})
}
