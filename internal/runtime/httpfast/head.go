package httpfast

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// outcome is the result of parsing the bytes read so far.
type outcome int

const (
	fast       outcome = iota // a complete head for the fast path
	incomplete                // the bytes may become such a head
	fallback                  // net/http must serve the connection
)

// maxFields bounds the fields of a head on the fast path.
const maxFields = 32

// head parses heads. Clients send nearly the same head each time, so strings of the previous head are reused where they are
// equal.
type head struct {
	request                  *http.Request // the worker's request, which has this header
	header                   http.Header
	path                     string // path of the previous head
	url                      url.URL
	fields                   []field
	host, length, connection int // indexes of these fields; -1 if absent
}

// field is one header field.
type field struct {
	raw    string // name as it was sent
	name   string // canonical form of the name
	values [1]string
}

// parse parses the head at the start of b and returns its size. If the outcome is not fast, the contents of h are not valid.
func (h *head) parse(b []byte, takes func(method, path string) bool) (size int, v outcome) {
	line := bytes.IndexByte(b, '\n')
	if line < 0 {
		return 0, mayBeginRequest(b)
	}
	if !h.parseRequestLine(b[:line+1], takes) {
		return 0, fallback
	}
	end := bytes.Index(b[line-1:], []byte("\r\n\r\n"))
	if end < 0 {
		return 0, incomplete
	}
	size = line - 1 + end + 4
	if !h.parseFields(b[line+1:size-2]) || !h.checkFraming() {
		return 0, fallback
	}
	return size, fast
}

// mayBeginRequest returns incomplete if an incomplete first line may start a head of the fast path, else fallback, so that a
// client of another protocol is not kept waiting.
func mayBeginRequest(b []byte) outcome {
	for _, begin := range [...]string{"POST /", "GET /"} {
		if n := min(len(b), len(begin)); string(b[:n]) == begin[:n] {
			return incomplete
		}
	}
	return fallback
}

const version = " HTTP/1.1\r\n"

// parseRequestLine parses the request line with its line break and reports whether the fast path accepts it.
func (h *head) parseRequestLine(b []byte, takes func(method, path string) bool) bool {
	rest, ok := bytes.CutSuffix(b, []byte(version))
	if !ok {
		return false
	}
	method := http.MethodPost
	if path, ok := bytes.CutPrefix(rest, []byte("POST ")); ok {
		rest = path
	} else {
		if rest, ok = bytes.CutPrefix(rest, []byte("GET ")); !ok {
			return false
		}
		method = http.MethodGet
	}
	if len(rest) == 0 || rest[0] != '/' || bytes.HasPrefix(rest, []byte("//")) {
		return false
	}
	for _, o := range rest {
		if !class[o].has(inPath) {
			return false
		}
	}
	path := h.path
	if string(rest) != path {
		path = string(rest)
	}
	h.path, h.url = path, url.URL{Path: path}
	h.request.Method, h.request.RequestURI = method, path
	return takes(method, path)
}

// parseFields parses the field lines, each with its line break.
func (h *head) parseFields(b []byte) bool {
	n := 0
	for ; len(b) > 0; n++ {
		end := bytes.IndexByte(b, '\n')
		if end < 1 || b[end-1] != '\r' || n == maxFields || !h.parseField(n, b[:end-1]) {
			return false
		}
		b = b[end+1:]
	}
	h.fields = h.fields[:n]
	return h.buildHeader()
}

// parseField parses the line of field n.
func (h *head) parseField(n int, b []byte) bool {
	colon := bytes.IndexByte(b, ':')
	if colon < 1 {
		return false
	}
	name, value := b[:colon], bytes.Trim(b[colon+1:], " \t")
	for _, o := range name {
		if !class[o].has(inName) {
			return false
		}
	}
	for _, o := range value {
		if !class[o].has(inValue) {
			return false
		}
	}
	if n == len(h.fields) {
		h.fields = append(h.fields, field{})
	}
	f := &h.fields[n]
	if string(name) != f.raw {
		f.raw = string(name)
		f.name = http.CanonicalHeaderKey(f.raw)
	}
	if string(value) != f.values[0] {
		f.values[0] = string(value)
	}
	return true
}

// buildHeader fills the header from the fields. It clears the header first, because handlers may have changed it.
func (h *head) buildHeader() bool {
	clear(h.header)
	h.host, h.length, h.connection = -1, -1, -1
	for i := range h.fields {
		f := &h.fields[i]
		if _, twice := h.header[f.name]; twice || unsupportedFields[f.name] {
			return false
		}
		switch f.name {
		case "Host":
			h.host = i
		case "Content-Length":
			h.length = i
		case "Connection":
			h.connection = i
		}
		h.header[f.name] = f.values[:]
	}
	delete(h.header, "Host") // it is in Request.Host, as in net/http
	return true
}

// unsupportedFields are fields about the coding of the body, the connection or expectations; and Pragma, which net/http
// translates to Cache-Control.
var unsupportedFields = map[string]bool{
	"Transfer-Encoding": true, "Trailer": true, "Te": true, "Expect": true, "Upgrade": true, "Http2-Settings": true, "Proxy-Connection": true,
	"Keep-Alive": true, "Pragma": true,
}

// checkFraming evaluates Host, Connection and Content-Length and reports whether the fast path accepts them.
func (h *head) checkFraming() bool {
	if h.host < 0 || h.fields[h.host].values[0] == "" || h.connection >= 0 && !strings.EqualFold(h.fields[h.connection].values[0], "keep-alive") {
		return false
	}
	h.request.Host = h.fields[h.host].values[0]
	for _, o := range []byte(h.request.Host) {
		if !class[o].has(inHost) {
			return false
		}
	}
	h.request.ContentLength = 0
	if h.request.Method == http.MethodGet {
		return h.length < 0
	}
	return h.length >= 0 && h.parseContentLength(h.fields[h.length].values[0])
}

// maxFastBody bounds a body on the fast path, in bytes, and so the work of discarding an unread one.
const maxFastBody = 64 << 10

// parseContentLength parses a Content-Length and reports whether the fast path accepts it.
func (h *head) parseContentLength(digits string) bool {
	if len(digits) == 0 || len(digits) > len("65536") || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	for _, o := range []byte(digits) {
		if o < '0' || o > '9' {
			return false
		}
		h.request.ContentLength = 10*h.request.ContentLength + int64(o-'0')
	}
	return h.request.ContentLength <= maxFastBody
}
