package gateway

import (
	"bytes"
	"net"
	"strconv"
)

// GuardHeads returns a listener whose connections refuse requests that two readers may take for different ones (RFC 9112, 11.2):
// Content-Length with Transfer-Encoding or twice, Transfer-Encoding in HTTP/1.0, and a field that goes on in the next line. net/http
// takes them, by rules that another proxy before or behind may not follow. It is for connections in the clear.
func GuardHeads(inner net.Listener) net.Listener { return guardedListener{inner} }

type guardedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: c}, nil
}

// guardedConn is a connection whose requests are looked at as net/http reads them. Reads take turns, as net/http's do.
type guardedConn struct {
	net.Conn
	guard headGuard
}

// Read implements net.Conn.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.guard.look(p[:n])
	return n, err
}

// NetConn returns the connection below.
func (c *guardedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the sending side, as net/http does before it closes a connection whose peer still sends.
func (c *guardedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Where a headGuard is in a message.
type guardState uint8

const (
	inHead    guardState = iota // in a line of it
	inBody                      // Content-Length
	inSize                      // the line with the size of a chunk
	inChunk                     // its data
	behind                      // the line end behind its data
	inTrailer                   // lines behind the last chunk
	inDark                      // what comes cannot be followed any more
)

// lineRoom is as much of a line as matters, in bytes: a name, and a number behind it.
const lineRoom = 64

// headGuard follows the framing of the requests of a connection, over pipelines too. A line that must not be there loses its meaning: a byte
// of it is made one that stands in no head, and net/http answers 400.
type headGuard struct {
	state  guardState
	line   [lineRoom]byte
	length int    // of the line so far, in bytes
	last   uint64 // its last eight bytes
	named  bool   // its name was seen

	lines   int // of the head that are complete
	old     bool
	sized   bool // it has a Content-Length
	coded   bool // it has a Transfer-Encoding
	left    int64
	isSized bool // the current line is the Content-Length
}

// invalid stands in no head.
const invalid = 0

// look follows the bytes that net/http reads next, and changes one where it must not read them so.
func (g *headGuard) look(p []byte) {
	for i := 0; i < len(p) && g.state != inDark; {
		if g.state == inBody || g.state == inChunk {
			n := int(min(int64(len(p)-i), g.left))
			i += n
			if g.left -= int64(n); g.left == 0 {
				g.bodyEnds()
			}
			continue
		}
		c := p[i]
		if g.state == inHead && g.mustNotBe(c) {
			p[i] = invalid
			g.state = inDark
			return
		}
		i++
		if c == '\n' {
			g.lineEnds()
			continue
		}
		if g.length < lineRoom {
			g.line[g.length] = c
		}
		g.length++
		g.last = g.last<<8 | uint64(c)
	}
}

func (g *headGuard) bodyEnds() {
	if g.state == inChunk {
		g.state = behind
		return
	}
	*g = headGuard{}
}

// mustNotBe reports whether a byte of a head begins a line that goes on from the one before, or ends the name of a field that makes the
// message readable in two ways.
func (g *headGuard) mustNotBe(c byte) bool {
	switch {
	case g.lines == 0 || g.named:
		return false
	case g.length == 0 && (c == ' ' || c == '\t'):
		return true
	case c != ':':
		return false
	}
	g.named = true
	name := bytes.TrimRight(g.text(), " \t")
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		if g.sized || g.coded {
			return true
		}
		g.sized, g.isSized = true, true
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if g.sized || g.coded || g.old {
			return true
		}
		g.coded = true
	}
	return false
}

func (g *headGuard) text() []byte {
	return bytes.TrimSuffix(g.line[:min(g.length, lineRoom)], []byte("\r"))
}

const http10 = uint64('H')<<56 | 'T'<<48 | 'T'<<40 | 'P'<<32 | '/'<<24 | '1'<<16 | '.'<<8 | '0'

func (g *headGuard) lineEnds() {
	text := g.text()
	switch g.state {
	case inHead:
		g.headLineEnds(text)
	case inSize:
		size, _, _ := bytes.Cut(text, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		switch {
		case err != nil || n < 0:
			g.state = inDark
		case n == 0:
			g.state = inTrailer
		default:
			g.state, g.left = inChunk, n
		}
	case behind:
		g.state = inSize
	case inTrailer:
		if len(text) == 0 {
			*g = headGuard{}
		}
	case inBody, inChunk, inDark: // they have no lines
	}
	g.length, g.last, g.named, g.isSized = 0, 0, false, false
}

func (g *headGuard) headLineEnds(text []byte) {
	g.lines++
	switch {
	case g.lines == 1:
		const seven = 1<<56 - 1 // of eight bytes, where the last one is the CR
		g.old = g.last == http10 || byte(g.last) == '\r' && g.last>>8 == http10&seven
	case g.isSized:
		_, value, _ := bytes.Cut(text, []byte(":"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || n < 0 {
			g.state = inDark // net/http refuses it
			return
		}
		g.left = n
	case len(text) > 0:
	case g.coded:
		g.state = inSize
	case g.left > 0:
		g.state = inBody
	default:
		*g = headGuard{}
	}
}
