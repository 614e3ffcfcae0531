package httpfast

import (
	"context"
	"net"
	"net/http"
)

// beyondKey is where the context of a connection of net/http has what this package knows of it.
type beyondKey struct{}

// beyondConn is a connection of net/http.
type beyondConn struct {
	ctx   context.Context //nolint:containedctx // ends with the connection
	guard *headGuard      // nil: it has none
}

// prepareBeyond makes the http.Server serve what is given to it: with the context of connections that this package knows the end of,
// and with heads that cannot be read in two ways refused.
func (s *Server) prepareBeyond() {
	s.http.Handler = beyondHandler{s.handler}
	s.http.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return endWithConnection(s.connContext(ctx, nc), nc)
	}
	s.http.ConnState = func(nc net.Conn, state http.ConnState) {
		if b, ok := nc.(*begun); ok {
			b.guard.state(state)
		}
		s.state(nc, state)
	}
}

// endWithConnection returns a context that ends with the connection, also beneath TLS.
func endWithConnection(ctx context.Context, nc net.Conn) context.Context {
	for nc != nil {
		if w, ok := nc.(watched); ok {
			ctx, gone := context.WithCancel(ctx)
			w.OnEnd(gone)
			known := &beyondConn{ctx: ctx}
			if b, ok := nc.(*begun); ok {
				known.guard = &b.guard
			}
			return context.WithValue(ctx, beyondKey{}, known)
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return ctx
		}
		nc = outer.NetConn()
	}
	return ctx
}

// beyondHandler gives requests of net/http a context that ends with their connection or their handler. The one of net/http ends as soon
// as the caller has ended its sending side, and such a caller waits for its answer (RFC 9112, 9.6).
type beyondHandler struct{ http.Handler }

// ServeHTTP implements http.Handler.
func (h beyondHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(beyondKey{}).(*beyondConn)
	if !ok || r.ProtoMajor != 1 { // a stream of HTTP/2 has an end of its own
		h.Handler.ServeHTTP(w, r)
		return
	}
	if whole := conn.guard != nil && conn.guard.whole.Swap(false); len(r.TransferEncoding) > 0 && !whole {
		// Where a proxy before this server reads such a message in another way, what follows it must not be taken for a request.
		w.Header().Set("Connection", "close")
	}
	ctx, end := context.WithCancel(conn.ctx)
	defer end()
	h.Handler.ServeHTTP(w, r.WithContext(ctx))
}
