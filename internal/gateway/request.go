package gateway

import (
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// MarkHeader marks a request that comes through a gateway, and its purpose. A gateway removes it from clients' requests.
const MarkHeader = "X-Esh3ar-Gateway"

// ProofHeader carries the proof with which a gateway asks a node for its load. A gateway removes it from clients' requests.
const ProofHeader = "X-Esh3ar-Gateway-Proof"

// Values of MarkHeader. MarkNegotiate marks a negotiation, to which the node answers with its own URL. MarkForwarded marks a
// request that another node forwards to the holder of its connection; it must not be forwarded again.
const (
	MarkNegotiate = "negotiate"
	MarkForwarded = "forwarded"
)

// appendHead appends the head of the request for the node.
func (x *exchange) appendHead(dst []byte) []byte {
	dst = append(append(dst, x.r.Method...), ' ')
	if target := x.r.RequestURI; strings.HasPrefix(target, "/") {
		dst = append(dst, target...)
	} else { // absolute form, as sent to proxies
		dst = append(dst, x.r.URL.RequestURI()...)
	}
	dst = append(append(append(dst, " HTTP/1.1\r\nHost: "...), x.r.Host...), "\r\n"...)
	for name, values := range x.r.Header {
		if isGatewayHeader(name) {
			continue
		}
		for _, value := range values {
			dst = appendLine(dst, name, value)
		}
	}
	return x.appendOwn(dst)
}

// appendOwn appends the headers that the gateway sets, and the end of the head.
func (x *exchange) appendOwn(dst []byte) []byte {
	dst = x.appendForwarded(dst)
	if x.mark != "" {
		dst = appendLine(dst, MarkHeader, x.mark)
	}
	if x.kind == balance.Tunnel { // no other requests may switch protocols
		dst = appendLine(append(dst, "Connection: Upgrade\r\n"...), "Upgrade", x.r.Header.Get("Upgrade"))
	}
	if length := x.length(); length >= 0 && (length > 0 || x.r.Body != http.NoBody || x.r.Method == http.MethodPost) {
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), length, 10), "\r\n"...)
	} else if length < 0 {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// length returns the body's Content-Length for the node; -1 if unknown.
func (x *exchange) length() int64 {
	if x.body.whole {
		return int64(len(x.body.kept))
	}
	return x.r.ContentLength
}

// appendForwarded appends the X-Forwarded headers. The client's address is added to those of proxies in front; their scheme
// and host are kept.
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

// isGatewayHeader reports whether the gateway sets this header itself, or the header concerns one connection only.
func isGatewayHeader(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Forwarded-For", MarkHeader, ProofHeader:
		return true
	}
	return false
}

// removeConnectionHeaders removes the headers that Connection names. Nodes do not get them, so the gateway ignores them, too.
func removeConnectionHeaders(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); !isGatewayHeader(name) {
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

// malformed answers ambiguous and unsupported requests, and reports whether it did. net/http refuses most of them earlier.
func (x *exchange) malformed() bool {
	switch {
	case x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace:
		x.answerProblem(methodNotAllowed, "this gateway does not forward "+x.r.Method)
	case !strings.HasPrefix(x.r.URL.Path, "/"):
		x.answerProblem(badRequest, "the target must be a path, or an http URL with one")
	case strings.ContainsFunc(x.r.Host, invalidInHost):
		x.answerProblem(badRequest, "the Host header contains an invalid character")
	default:
		return false
	}
	return true
}

// invalidInHost reports whether no parser accepts this character in a host.
func invalidInHost(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"#,/<>?@\^`+"`{|}", c)
}
