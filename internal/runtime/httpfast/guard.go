package httpfast

import (
	"bytes"
	"errors"
	"net/http"
	"sync/atomic"
)

// errAmbiguous refuses a head. net/http answers an error of this kind with 400 and closes the connection.
var errAmbiguous = errors.New("the head of the request can be read in two ways")

// headGuard looks at the head of a request before net/http does, and refuses what two parsers may read in different ways, so that a
// proxy before this server and this server never disagree about where a request ends (RFC 9112, 11.2):
//   - Content-Length together with Transfer-Encoding, and Content-Length twice,
//   - Transfer-Encoding in a request of HTTP/1.0,
//   - a field that goes on in the next line (obs-fold),
//   - a line that ends without CR.
//
// It looks at the first head of a connection and at each that begins while the connection is idle. A request behind another in one
// segment is not looked at; beyondHandler closes the connection after such a one with Transfer-Encoding.
//
// Concurrency: net/http reads and reports states in turn; a read in the background may run beside both.
type headGuard struct {
	idle atomic.Bool // the next octet begins a head
	off  atomic.Bool // the connection is not HTTP any more
	head headState   // the reader's
	// whole is set when a head was looked at from its begin to its end, and taken back by the request that it is of.
	whole atomic.Bool
}

// headState is what is known of a head.
type headState struct {
	inHead  bool
	line    []byte // of the head, as far as it has come; at most longestLine octets of it are kept
	lines   int    // that are complete
	old     bool   // the request is of HTTP/1.0
	lengths int
	coded   bool
}

// longestLine is as much of a line as matters here: a field's name, or a request line's end.
const longestLine = 64

func (g *headGuard) state(s http.ConnState) {
	switch s {
	case http.StateIdle:
		g.idle.Store(true)
	case http.StateHijacked, http.StateClosed:
		g.off.Store(true)
	case http.StateNew, http.StateActive:
	}
}

// check looks at octets that net/http is about to read.
func (g *headGuard) check(b []byte) error {
	if g.off.Load() {
		return nil
	}
	if g.idle.Swap(false) {
		g.head = headState{inHead: true, line: g.head.line[:0]}
		g.whole.Store(false)
	}
	for g.head.inHead && len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			g.head.keep(b)
			return nil
		}
		g.head.keep(b[:end])
		if !g.head.lineEnds() {
			return errAmbiguous
		}
		if !g.head.inHead {
			g.whole.Store(true)
		}
		b = b[end+1:]
	}
	return nil
}

// keep keeps the begin and the end of a line: the name of a field, the version of a request, the CR.
func (g *headState) keep(b []byte) {
	g.line = append(g.line, b...)
	if over := len(g.line) - 2*longestLine; over > 0 {
		g.line = append(g.line[:longestLine], g.line[longestLine+over:]...)
	}
}

// lineEnds looks at a complete line and reports whether it can be read in one way only.
func (g *headState) lineEnds() bool {
	line, crlf := bytes.CutSuffix(g.line, []byte("\r"))
	defer func() { g.line = g.line[:0] }()
	if !crlf {
		return false
	}
	if g.lines++; len(line) == 0 {
		g.inHead = false
		return true
	}
	if g.lines == 1 {
		g.old = bytes.HasSuffix(line, []byte("HTTP/1.0"))
		return true
	}
	if line[0] == ' ' || line[0] == '\t' {
		return false
	}
	name, _, _ := bytes.Cut(line, []byte(":"))
	switch name = bytes.TrimRight(name, " \t"); {
	case bytes.EqualFold(name, []byte("Content-Length")):
		g.lengths++
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		g.coded = true
	}
	return g.lengths < 2 && !(g.coded && (g.lengths > 0 || g.old))
}
