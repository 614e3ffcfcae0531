package gateway

import (
	"math/rand/v2"
	"net/http"
	"strings"
)

const (
	hexDigits = "0123456789abcdef"
	traceForm = "00-00000000000000000000000000000000-0000000000000000-00" // of version 00
)

// trace begins one where the caller brings none that is valid.
func trace(h http.Header) {
	if values := h["Traceparent"]; len(values) == 1 && validTrace(values[0]) {
		return
	}
	h["Traceparent"] = []string{newTrace()}
	delete(h, "Tracestate") // it belongs to what the caller tried to say
}

// validTrace tells whether W3C Trace Context lets us go on with it (section 3.2): later versions may say more than ours.
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

// newTrace begins a trace, as W3C Trace Context writes it: version, 16 bytes of trace, 8 of span, not sampled.
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
