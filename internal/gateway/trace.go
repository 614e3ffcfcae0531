package gateway

import (
	"math/rand/v2"
	"net/http"
	"strings"
)

const (
	hexDigits = "0123456789abcdef"
	traceForm = "00-00000000000000000000000000000000-0000000000000000-00" // form of version 00
)

// trace starts a trace if the request has no valid traceparent.
func trace(h http.Header) {
	if values := h["Traceparent"]; len(values) == 1 && validTrace(values[0]) {
		return
	}
	h["Traceparent"] = []string{newTrace()}
	delete(h, "Tracestate") // it belongs to the invalid traceparent
}

// validTrace reports whether a traceparent is valid by W3C Trace Context, section 3.2. Later versions may have more fields.
func validTrace(t string) bool {
	if len(t) < len(traceForm) || len(t) > len(traceForm) && (t[:2] == "00" || t[len(traceForm)] != '-') {
		return false
	}
	for i, form := range []byte(traceForm) {
		if dash := form == '-'; dash != (t[i] == '-') || !dash && strings.IndexByte(hexDigits, t[i]) < 0 {
			return false
		}
	}
	return t[:2] != "ff" && t[3:35] != traceForm[3:35] && t[36:52] != traceForm[36:52]
}

// newTrace returns a new traceparent: version, 16 bytes of trace id, 8 bytes of span id, not sampled.
func newTrace() string {
	var room [55]byte
	b := append(room[:0], "00-"...)
	b = appendHex(appendHex(b, rand.Uint64()|1), rand.Uint64()) // all zeros would be invalid
	b = append(appendHex(append(b, '-'), rand.Uint64()|1), "-00"...)
	return string(b)
}

func appendHex(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}
