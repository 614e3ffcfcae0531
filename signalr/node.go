package signalr

import (
	"net/http"
	"strings"
)

// NodeOf returns the name (Options.Node) of the node that negotiated the connection of a request. It returns "" if the
// request has no connection token, or the token of a node without a name. Gateways can route by it. NodeOf does not verify
// the token.
func NodeOf(r *http.Request) string {
	token := query(r, "id")
	return token[:max(0, strings.LastIndexByte(token, '.'))]
}

// forwardUnknown calls Options.OnUnknownToken for a request of another node, and reports whether the request was answered.
func (s *Server) forwardUnknown(w http.ResponseWriter, r *http.Request) bool {
	ask := s.opts.OnUnknownToken
	if ask == nil || r.Method == http.MethodOptions {
		return false
	}
	node := NodeOf(r)
	return node != "" && node != s.opts.Node && ask(w, r, node)
}

// newToken returns a new connection token, prefixed with the node's name and a dot if the node has a name. The last dot ends
// the name, because the random part contains none.
func (s *Server) newToken() string {
	if s.opts.Node == "" {
		return newID()
	}
	return s.opts.Node + "." + newID()
}

// checkNode panics if a node's name cannot be part of a URL without escaping.
func checkNode(name string) {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" // RFC 3986, 2.3
	if len(name) > 128 || strings.Trim(name, unreserved) != "" {
		panic("signalr: Options.Node must be at most 128 letters, digits and -._~, not " + name)
	}
}
