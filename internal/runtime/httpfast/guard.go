package httpfast

import (
	"bytes"
	"errors"
	"net/http"
	"sync/atomic"
)

// errAmbiguous is the read error after an ambiguous head. net/http then answers 400 and closes the connection.
var errAmbiguous = errors.New("the head of the request is ambiguous")

// headGuard checks heads before net/http reads them. It refuses heads that two parsers may interpret differently, so that a
// proxy in front and this server always agree on where a request ends (request smuggling; RFC 9112, section 11.2):
//   - Content-Length together with Transfer-Encoding, and Content-Length twice,
//   - Transfer-Encoding in a request of HTTP/1.0,
//   - a field that continues on the next line (obs-fold),
//   - a line that ends without CR.
//
// It checks the first head of a connection and each head that starts while the connection is idle. It does not check a
// pipelined head; fallbackHandler closes the connection after a pipelined request with Transfer-Encoding.
//
// Concurrency: net/http reads and reports states one at a time; its background read may run concurrently with both.
type headGuard struct {
	idle     atomic.Bool // the next octet starts a head
	disabled atomic.Bool // the connection was closed or taken over: nothing is checked any more
	head     headState   // used by the reader only
	// headChecked is set when a whole head has been checked. The handler of its request clears it.
	headChecked atomic.Bool
}

// headState is the state of the check of one head.
type headState struct {
	inHead           bool
	line             []byte // current line; at most maxLinePart octets of each end are kept
	lines            int    // complete lines
	http10           bool   // the request line has HTTP/1.0
	contentLengths   int
	transferEncoding bool
}

// maxLinePart bounds how much is kept of each end of a line, in bytes: enough for a field name or the end of a request line.
const maxLinePart = 64

// state follows the states of the connection in net/http.
func (g *headGuard) state(s http.ConnState) {
	switch s {
	case http.StateIdle:
		g.idle.Store(true)
	case http.StateHijacked, http.StateClosed:
		g.disabled.Store(true)
	case http.StateNew, http.StateActive:
	}
}

// check checks octets that net/http is about to read. It returns errAmbiguous if they complete an ambiguous line.
func (g *headGuard) check(b []byte) error {
	if g.disabled.Load() {
		return nil
	}
	if g.idle.Swap(false) {
		g.head = headState{inHead: true, line: g.head.line[:0]}
		g.headChecked.Store(false)
	}
	for g.head.inHead && len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			g.head.appendLine(b)
			return nil
		}
		g.head.appendLine(b[:end])
		if !g.head.checkLine() {
			return errAmbiguous
		}
		if !g.head.inHead {
			g.headChecked.Store(true)
		}
		b = b[end+1:]
	}
	return nil
}

// appendLine appends to the current line and drops its middle if it is long. Start and end hold what checkLine needs: the name
// of a field, the version of a request, the CR.
func (g *headState) appendLine(b []byte) {
	g.line = append(g.line, b...)
	if over := len(g.line) - 2*maxLinePart; over > 0 {
		g.line = append(g.line[:maxLinePart], g.line[maxLinePart+over:]...)
	}
}

// checkLine checks a complete line and reports whether it is unambiguous.
func (g *headState) checkLine() bool {
	line, crlf := bytes.CutSuffix(g.line, []byte("\r"))
	defer func() { g.line = g.line[:0] }()
	if !crlf {
		return false
	}
	g.lines++
	if len(line) == 0 {
		g.inHead = false
		return true
	}
	if g.lines == 1 {
		g.http10 = bytes.HasSuffix(line, []byte("HTTP/1.0"))
		return true
	}
	if line[0] == ' ' || line[0] == '\t' {
		return false
	}
	name, _, _ := bytes.Cut(line, []byte(":"))
	if name = bytes.TrimRight(name, " \t"); bytes.EqualFold(name, []byte("Content-Length")) {
		g.contentLengths++
	} else if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
		g.transferEncoding = true
	}
	return g.contentLengths < 2 && !(g.transferEncoding && (g.contentLengths > 0 || g.http10))
}
