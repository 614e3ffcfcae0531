package httpfast

import (
	"context"
	"net"
	"net/http"
)

// fallbackKey is the context key of a fallbackConn.
type fallbackKey struct{}

// fallbackConn is what this package knows of a connection that net/http serves.
type fallbackConn struct {
	ctx   context.Context //nolint:containedctx // ends with the connection
	guard *headGuard      // nil if the connection has none
}

// prepareFallback changes the hooks of the http.Server: contexts of requests end with their connection, and ambiguous heads
// are refused.
func (s *Server) prepareFallback() {
	s.http.Handler = fallbackHandler{s.handler}
	s.http.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return endWithConnection(s.connContext(ctx, nc), nc)
	}
	s.http.ConnState = func(nc net.Conn, state http.ConnState) {
		if b, ok := nc.(*prereadConn); ok {
			b.guard.state(state)
		}
		s.state(nc, state)
	}
}

// endWithConnection returns a context that is cancelled when the connection ends. It finds the connection below TLS, too.
func endWithConnection(ctx context.Context, nc net.Conn) context.Context {
	for nc != nil {
		if w, ok := nc.(notifyingConn); ok {
			ctx, gone := context.WithCancel(ctx)
			w.OnEnd(gone)
			known := &fallbackConn{ctx: ctx}
			if b, ok := nc.(*prereadConn); ok {
				known.guard = &b.guard
			}
			return context.WithValue(ctx, fallbackKey{}, known)
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return ctx
		}
		nc = outer.NetConn()
	}
	return ctx
}

// fallbackHandler calls a handler with a context that is cancelled when the connection ends or the handler returns. The
// context of net/http is cancelled as soon as the client has closed its sending side, but such a client may wait for its
// answer (RFC 9112, section 9.6).
type fallbackHandler struct{ http.Handler }

// ServeHTTP implements http.Handler.
func (h fallbackHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(fallbackKey{}).(*fallbackConn)
	if !ok || r.ProtoMajor != 1 { // an HTTP/2 stream ends independently of its connection
		h.Handler.ServeHTTP(w, r)
		return
	}
	checked := conn.guard != nil && conn.guard.headChecked.Swap(false)
	if len(r.TransferEncoding) > 0 && !checked {
		// A proxy in front may have found another end of this message. Close, so that no bytes after it are read as a request.
		w.Header().Set("Connection", "close")
	}
	ctx, end := context.WithCancel(conn.ctx)
	defer end()
	h.Handler.ServeHTTP(w, r.WithContext(ctx))
}
