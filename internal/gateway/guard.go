package gateway

import (
	"bytes"
	"net"
	"strconv"
)

// GuardHeads returns a listener whose connections refuse ambiguous requests (request smuggling; RFC 9112, section 11.2):
// Content-Length twice or together with Transfer-Encoding, Transfer-Encoding in HTTP/1.0, and a field that continues on the
// next line. net/http accepts them by rules that other proxies may not follow. It works only for connections without TLS.
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

// guardedConn inspects requests while net/http reads them. Reads must not run concurrently, which net/http ensures.
type guardedConn struct {
	net.Conn
	guard headGuard
}

// Read implements net.Conn.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.guard.inspect(p[:n])
	return n, err
}

// NetConn returns the underlying connection.
func (c *guardedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http shut down its sending side before it closes a connection whose peer still sends.
func (c *guardedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// guardState is the position of a headGuard in a message.
type guardState uint8

const (
	inHead      guardState = iota // in the head
	inBody                        // in a body with Content-Length
	inSize                        // in the line with the size of a chunk
	inChunk                       // in the data of a chunk
	afterChunk                    // in the line break after the data of a chunk
	inTrailer                     // in the lines after the last chunk
	notFollowed                   // invalid framing: nothing is inspected any more
)

// lineRoom bounds how much of a line is stored, in bytes: enough for a name and a number.
const lineRoom = 64

// headGuard follows the framing of all requests of a connection, pipelined ones included. In an ambiguous line it replaces one
// byte by a byte that no head may contain, so that net/http answers 400.
type headGuard struct {
	state  guardState
	line   [lineRoom]byte
	length int    // length of the current line so far, in bytes
	last   uint64 // last eight bytes of the line
	named  bool   // the name of the line has been checked

	lines   int // complete lines of the head
	old     bool
	sized   bool // the head has a Content-Length
	coded   bool // the head has a Transfer-Encoding
	left    int64
	isSized bool // the current line is the Content-Length
}

// invalid is a byte that no head may contain.
const invalid = 0

// inspect inspects the bytes that net/http reads next, and invalidates an ambiguous line.
func (g *headGuard) inspect(p []byte) {
	for i := 0; i < len(p) && g.state != notFollowed; {
		if g.state == inBody || g.state == inChunk {
			n := int(min(int64(len(p)-i), g.left))
			i += n
			g.left -= int64(n)
			if g.left == 0 {
				g.bodyEnds()
			}
			continue
		}
		c := p[i]
		if g.state == inHead && g.isAmbiguous(c) {
			p[i] = invalid
			g.state = notFollowed
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
		g.state = afterChunk
		return
	}
	*g = headGuard{}
}

// isAmbiguous reports whether this byte of a head starts a continuation line, or ends the name of a field that makes the
// message ambiguous.
func (g *headGuard) isAmbiguous(c byte) bool {
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
	if bytes.EqualFold(name, []byte("Content-Length")) {
		if g.sized || g.coded {
			return true
		}
		g.sized, g.isSized = true, true
	} else if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
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
			g.state = notFollowed
		case n == 0:
			g.state = inTrailer
		default:
			g.state, g.left = inChunk, n
		}
	case afterChunk:
		g.state = inSize
	case inTrailer:
		if len(text) == 0 {
			*g = headGuard{}
		}
	case inBody, inChunk, notFollowed: // not reached: these states have no lines
	}
	g.length = 0
	g.last = 0
	g.named = false
	g.isSized = false
}

func (g *headGuard) headLineEnds(text []byte) {
	g.lines++
	switch {
	case g.lines == 1:
		const seven = 1<<56 - 1 // mask of seven bytes, if the last of the eight is the CR
		g.old = g.last == http10 || byte(g.last) == '\r' && g.last>>8 == http10&seven
	case g.isSized:
		_, value, _ := bytes.Cut(text, []byte(":"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || n < 0 {
			g.state = notFollowed // net/http refuses it
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
