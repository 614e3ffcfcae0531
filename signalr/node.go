package signalr

import (
	"net/http"
	"strings"
)

// NodeOf returns the name of the node that negotiated the connection a request belongs to (its Options.Node), "" for a
// request without a token, or with one of a node without a name. Gateways route by it; it says nothing about whether the
// token is good.
func NodeOf(r *http.Request) string {
	token := query(r, "id")
	return token[:max(0, strings.LastIndexByte(token, '.'))]
}

// elsewhere lets the application answer a request for a connection of another node, and reports whether it did.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) bool {
	ask := s.opts.OnUnknownToken
	if ask == nil || r.Method == http.MethodOptions {
		return false
	}
	node := NodeOf(r)
	return node != "" && node != s.opts.Node && ask(w, r, node)
}

// newToken returns a secret that names this node, if that has a name. The last dot ends the name: what is random has none.
func (s *Server) newToken() string {
	if s.opts.Node == "" {
		return newID()
	}
	return s.opts.Node + "." + newID()
}

// checkNode panics, as at a fault of the program, when a name cannot stand in a URL as it is.
func checkNode(name string) {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" // RFC 3986, 2.3
	if len(name) > 128 || strings.Trim(name, unreserved) != "" {
		panic("signalr: Options.Node must be at most 128 letters, digits and -._~, not " + name)
	}
}
