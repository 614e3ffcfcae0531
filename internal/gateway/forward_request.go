package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// badBody marks an error of the client's body, not of the node.
type badBody struct{ error }

// writevAbove is the size up to which a body is copied behind the head, in bytes; longer ones are sent with writev.
const writevAbove = 4 << 10

// send sends the request.
func (t *attempt) send(c *upstream.Conn) error {
	t.lines = t.appendHead(t.lines[:0])
	t.body.rewind()
	if !t.body.whole {
		return t.stream(c)
	}
	if len(t.body.kept) > writevAbove {
		return c.Writev(&net.Buffers{t.lines, t.body.kept})
	}
	t.lines = append(t.lines, t.body.kept...)
	_, err := c.Write(t.lines)
	return err
}

// stream sends a body as it arrives. If the node responds before the end, it stops, because the node has decided already.
func (t *attempt) stream(c *upstream.Conn) error {
	if _, err := c.Write(t.lines); err != nil {
		return err
	}
	control := http.NewResponseController(t.w)
	early := c.Listen(func() { _ = control.SetReadDeadline(longAgo) }, t.g.contain) // without deadlines, the read ends with the server's own
	defer early.Stop()
	c.ExtendWrite(t.nodeDeadline())
	chunked := t.r.ContentLength < 0
	room := make([]byte, 32<<10)
	for {
		part, err := t.body.part(t.g, room)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && early.Stop() {
			c.MarkTruncated()
			return upstream.ErrEarly
		}
		if err != nil {
			return badBody{err}
		}
		c.ExtendWrite(t.nodeDeadline())
		if err := writePart(c, part, chunked); err != nil {
			return err
		}
	}
	early.Stop()
	t.startDeadline()
	c.Extend(t.deadline)
	if chunked {
		_, err := c.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

func writePart(c *upstream.Conn, part []byte, chunked bool) error {
	if !chunked {
		_, err := c.Write(part)
		return err
	}
	if len(part) == 0 {
		return nil // an empty chunk would end the body
	}
	size := append(strconv.AppendInt(nil, int64(len(part)), 16), "\r\n"...)
	return c.Writev(&net.Buffers{size, part, []byte("\r\n")})
}
