package gateway

import (
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// MarkHeader tells a node that a request comes through a gateway, and what for. Callers cannot send it through one.
const MarkHeader = "X-Esh3ar-Gateway"

// ProofHeader carries what a gateway shows to a node that it asks how it is. Callers cannot send it through one.
const ProofHeader = "X-Esh3ar-Gateway-Proof"

// MarkNegotiate is its value on a negotiation: the node answers with its own URL. MarkForwarded is that of a request for a
// connection of the node which another node forwards: it goes no further.
const (
	MarkNegotiate = "negotiate"
	MarkForwarded = "forwarded"
)

// appendHead writes the head of the request as the node gets it.
func (x *exchange) appendHead(dst []byte) []byte {
	dst = append(append(dst, x.r.Method...), ' ')
	if target := x.r.RequestURI; strings.HasPrefix(target, "/") {
		dst = append(dst, target...)
	} else { // a URL, as proxies are asked
		dst = append(dst, x.r.URL.RequestURI()...)
	}
	dst = append(append(append(dst, " HTTP/1.1\r\nHost: "...), x.r.Host...), "\r\n"...)
	for name, values := range x.r.Header {
		if ours(name) {
			continue
		}
		for _, value := range values {
			dst = appendLine(dst, name, value)
		}
	}
	return x.appendOwn(dst)
}

// appendOwn writes the headers that are the gateway's to say, and ends the head.
func (x *exchange) appendOwn(dst []byte) []byte {
	dst = x.appendForwarded(dst)
	if x.mark != "" {
		dst = appendLine(dst, MarkHeader, x.mark)
	}
	if x.kind == balance.Tunnel { // nothing else leaves HTTP
		dst = appendLine(append(dst, "Connection: Upgrade\r\n"...), "Upgrade", x.r.Header.Get("Upgrade"))
	}
	switch length := x.length(); {
	case length >= 0 && (length > 0 || x.r.Body != http.NoBody || x.r.Method == http.MethodPost):
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), length, 10), "\r\n"...)
	case length < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// length of the body as the node is told; −1: not known.
func (x *exchange) length() int64 {
	if x.body.whole {
		return int64(len(x.body.kept))
	}
	return x.r.ContentLength
}

// appendForwarded says who called, and how. Proxies before us may have said so; what they say is added to or kept.
func (x *exchange) appendForwarded(dst []byte) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	for _, before := range x.r.Header["X-Forwarded-For"] {
		dst = append(append(dst, before...), ", "...)
	}
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		host = x.r.RemoteAddr
	}
	dst = append(append(dst, host...), "\r\n"...)
	if len(x.r.Header["X-Forwarded-Proto"]) == 0 {
		proto := "http"
		if x.r.TLS != nil {
			proto = "https"
		}
		dst = appendLine(dst, "X-Forwarded-Proto", proto)
	}
	if len(x.r.Header["X-Forwarded-Host"]) == 0 {
		dst = appendLine(dst, "X-Forwarded-Host", x.r.Host)
	}
	return dst
}

// ours are headers that the gateway writes itself, or that concern one connection only.
func ours(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Forwarded-For", MarkHeader, ProofHeader:
		return true
	}
	return false
}

// dropNamed takes off what the Connection header names: no node gets it, so we must not go by it either.
func dropNamed(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); !ours(name) {
				delete(h, name)
			}
		}
	}
}

func headerHas(h http.Header, name, token string) bool {
	for _, value := range h[name] {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

func appendLine(dst []byte, name, value string) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// malformed answers a request that has no one meaning to everything that reads it, or asks for what no gateway does, and reports whether
// it did. net/http has refused most of them before.
func (x *exchange) malformed() bool {
	switch {
	case x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace:
		x.refuse(methodNotAllowed, "this gateway does not forward "+x.r.Method)
	case !strings.HasPrefix(x.r.URL.Path, "/"):
		x.refuse(badRequest, "the target must be a path, or an http URL with one")
	case strings.ContainsFunc(x.r.Host, notOfHost):
		x.refuse(badRequest, "the Host header has a character that no host has")
	default:
		return false
	}
	return true
}

// notOfHost reports whether a character can stand in no host, whatever reads it.
func notOfHost(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"#,/<>?@\^`+"`{|}", c)
}
