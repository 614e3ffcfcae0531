// Package requestid chooses the id of an HTTP request: the X-Request-Id that the client sent, or a random one. The id is in the
// response, in problem documents and in log lines, and a gateway passes it to its nodes. All functions are safe for concurrent use.
package requestid

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
)

// Header is the header of requests and responses, in canonical form.
const Header = "X-Request-Id"

// MaxLength bounds an id that a client chooses, in bytes.
const MaxLength = 128

const (
	idLength  = 32 // 128 random bits in hexadecimal digits
	blockSize = 16 // ids per block
	hexDigits = "0123456789abcdef"
)

// block holds ids that were made together, so that one id costs a sixteenth of two allocations.
type block struct {
	values []string // unused ids
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// Set sets the response's id to that of the request, or to a new one if the request has none or an invalid one. A response that has
// an id already keeps it. It returns the values of the response's header, which must not be changed.
func Set(response, request http.Header) []string {
	if values := response[Header]; len(values) == 1 {
		return values
	}
	values := request[Header]
	if len(values) != 1 || !valid(values[0]) {
		values = next()
	}
	response[Header] = values
	return values
}

// Of returns the id that Set has set in a response's header, or "".
func Of(response http.Header) string {
	if values := response[Header]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// valid reports whether an id is short, and safe in headers, logs and URLs.
func valid(id string) bool {
	if id == "" || len(id) > MaxLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("-_.~:/+=@", c) < 0 {
			return false
		}
	}
	return true
}

// next returns a new id as the value of a header.
func next() []string {
	b := blocks.Get().(*block) //nolint:forcetypeassert // the pool holds nothing else
	if len(b.values) == 0 {
		b.fill()
	}
	value := b.values[:1:1]
	b.values = b.values[1:]
	blocks.Put(b)
	return value
}

// fill makes new ids. The earlier ones are in use by responses, so their memory is not used again.
func (b *block) fill() {
	var room [blockSize * idLength]byte
	digits := room[:0]
	for len(digits) < len(room) {
		digits = appendHex(digits, rand.Uint64())
	}
	text := string(digits)
	b.values = make([]string, blockSize)
	for i := range b.values {
		b.values[i] = text[i*idLength : (i+1)*idLength]
	}
}

func appendHex(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}
