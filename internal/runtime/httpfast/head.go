package httpfast

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// verdict is what may be done with what has come.
type verdict int

const (
	plain   verdict = iota // the head of a call that is answered here
	partial                // what has come may become one
	other                  // net/http has to look at it
)

// maxFields is how many fields a plain head may have.
const maxFields = 32

// head is the head of a call, made from the octets and from the head before it: callers send nearly the same one again and again, so
// what has not changed is used again.
type head struct {
	request                  *http.Request // the worker's; its header is this one's
	header                   http.Header
	path                     string // of the head before
	url                      url.URL
	fields                   []field
	host, length, connection int // the fields with these; -1: there is none
}

// field is one line.
type field struct {
	raw    string // the name as it was sent
	name   string // in the canonical form
	values [1]string
}

// parse reads a head from the beginning of b and tells how long it is. What it says of one that is not plain is not to be used.
func (h *head) parse(b []byte, takes func(method, path string) bool) (size int, v verdict) {
	line := bytes.IndexByte(b, '\n')
	if line < 0 {
		return 0, mayBegin(b)
	}
	if !h.first(b[:line+1], takes) {
		return 0, other
	}
	end := bytes.Index(b[line-1:], []byte("\r\n\r\n"))
	if end < 0 {
		return 0, partial
	}
	size = line - 1 + end + 4
	if !h.read(b[line+1:size-2]) || !h.frame() {
		return 0, other
	}
	return size, plain
}

// mayBegin tells whether octets without an end of line may be the beginning of a plain head: who talks something else must not be
// waited for.
func mayBegin(b []byte) verdict {
	for _, begin := range [...]string{"POST /", "GET /"} {
		if n := min(len(b), len(begin)); string(b[:n]) == begin[:n] {
			return partial
		}
	}
	return other
}

const version = " HTTP/1.1\r\n"

// first reads the request line, with its end.
func (h *head) first(b []byte, takes func(method, path string) bool) bool {
	rest, ok := bytes.CutSuffix(b, []byte(version))
	if !ok {
		return false
	}
	method := http.MethodPost
	switch path, ok := bytes.CutPrefix(rest, []byte("POST ")); {
	case ok:
		rest = path
	default:
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

// read reads the fields, each with its end of line.
func (h *head) read(b []byte) bool {
	n := 0
	for ; len(b) > 0; n++ {
		end := bytes.IndexByte(b, '\n')
		if end < 1 || b[end-1] != '\r' || n == maxFields || !h.field(n, b[:end-1]) {
			return false
		}
		b = b[end+1:]
	}
	h.fields = h.fields[:n]
	return h.collect()
}

// field reads the line of field n.
func (h *head) field(n int, b []byte) bool {
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

// collect makes the header: anew for each head, because a handler may have put into it what was of another call.
func (h *head) collect() bool {
	clear(h.header)
	h.host, h.length, h.connection = -1, -1, -1
	for i := range h.fields {
		f := &h.fields[i]
		if _, twice := h.header[f.name]; twice || elsewhere[f.name] {
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
	delete(h.header, "Host") // it is in the request, as net/http has it
	return true
}

// elsewhere are fields that say how the body is coded, what becomes of the connection or who waits for what; and one that net/http
// takes for another.
var elsewhere = map[string]bool{
	"Transfer-Encoding": true, "Trailer": true, "Te": true, "Expect": true, "Upgrade": true, "Http2-Settings": true, "Proxy-Connection": true,
	"Keep-Alive": true, "Pragma": true,
}

// frame reads the fields that say whose the call is and where its body ends.
func (h *head) frame() bool {
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
	return h.length >= 0 && h.measure(h.fields[h.length].values[0])
}

// maxPlainBody bounds a body, in bytes, and so what is read of one that the handler has left.
const maxPlainBody = 64 << 10

// measure reads a Content-Length.
func (h *head) measure(digits string) bool {
	if len(digits) == 0 || len(digits) > len("65536") || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	for _, o := range []byte(digits) {
		if o < '0' || o > '9' {
			return false
		}
		h.request.ContentLength = 10*h.request.ContentLength + int64(o-'0')
	}
	return h.request.ContentLength <= maxPlainBody
}
