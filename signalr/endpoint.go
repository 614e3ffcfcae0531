package signalr

import (
	"net/http"
	"net/netip"
)

const (
	noConnection = "No Connection with that ID"
	idRequired   = "Connection ID required"
	userChanged  = "The user associated with this connection changed."
)

// request is a parsed request for the hub's path.
type request struct {
	who   Identity
	token string     // connection token; "" if the request has none
	conn  *Conn      // connection of the token; nil if it has not begun
	kind  Transports // the transport that a GET requests
}

// endpoint serves all requests for the hub's path except negotiate.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	default:
		methodNotAllowed(w)
		return
	}
	who, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	ask := request{who: who, token: query(r, "id")}
	if ask.token != "" {
		ask.conn = s.registry.byToken(ask.token)
	}
	if ask.conn != nil && ask.conn.who.UserID != who.UserID {
		plain(w, http.StatusForbidden, userChanged)
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.connect(w, r, ask)
	case http.MethodPost:
		s.post(w, r, ask)
	default:
		s.terminate(w, ask)
	}
}

// connect serves a GET: it opens a connection or continues one.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, ask request) {
	ask.kind = requested(r)
	if ask.kind == LongPolling {
		neverCache(w.Header())
	}
	switch {
	case ask.token == "" && ask.kind != WebSockets:
		plain(w, http.StatusBadRequest, idRequired)
	case ask.token != "" && ask.conn == nil && !s.pending.has(ask.token):
		plain(w, http.StatusNotFound, noConnection)
	case s.opts.Transports&ask.kind == 0:
		plain(w, http.StatusNotFound, ask.kind.String()+" transport not supported by this end point type")
	case ask.conn != nil:
		s.reconnect(w, r, ask)
	case ask.kind == WebSockets:
		s.connectWebSocket(w, r, ask)
	case ask.kind == ServerSentEvents:
		s.connectEvents(w, r, ask)
	default:
		s.connectPolling(w, r, ask)
	}
}

// reconnect serves a GET for a connection that has begun.
func (s *Server) reconnect(w http.ResponseWriter, r *http.Request, ask request) {
	defer ask.conn.containRequest()
	l := ask.conn.transport()
	poll, polled := l.(*longPoll)
	switch {
	case l.kind() != ask.kind:
		plain(w, http.StatusBadRequest, "Cannot change transports mid-connection")
	case polled:
		ask.conn.renew(ask.who)
		poll.serve(w, r)
	case ask.conn.ending():
		plain(w, http.StatusNotFound, noConnection)
	case ask.conn.keeping():
		s.connectWebSocket(w, r, ask)
	default:
		occupied(w)
	}
}

func occupied(w http.ResponseWriter) {
	plain(w, http.StatusConflict, "Connection is already active")
}

// claim creates the connection that a request asks for. If it returns nil, it has answered with the reason.
func (s *Server) claim(w http.ResponseWriter, r *http.Request, ask request) *Conn {
	// A client that skipped negotiation has no token. No other request will refer to its connection.
	id, token, stateful := newID(), newID(), false
	if ask.token != "" {
		token = ask.token
		n, found, sameUser := s.pending.take(token, ask.who.UserID)
		switch {
		case !found:
			plain(w, http.StatusNotFound, noConnection)
			return nil
		case !sameUser:
			plain(w, http.StatusForbidden, userChanged)
			return nil
		}
		id, stateful = n.id, n.stateful
	}
	c := s.newConn(id, token, ask.who, r, ask.kind)
	if stateful && ask.kind == WebSockets {
		c.state = newStateful()
	}
	result, oldest := s.registry.add(c, ask.who.Device, &s.opts)
	if oldest != nil {
		s.counters.replaced.Add(1)
		oldest.end(replacedEnding())
	}
	switch result {
	case added:
		s.counters.begun(ask.kind)
		return c
	case addTaken:
		occupied(w)
	case addUserFull:
		s.tooMany(w)
	case addFull, addClosed:
		unavailable(w)
	}
	return nil
}

// tooMany answers 429 to a request for a connection that exceeds a limit of its user.
func (s *Server) tooMany(w http.ResponseWriter) {
	s.counters.refused.Add(1)
	w.Header().Set("Retry-After", "10") // a connection whose client has vanished is gone after three times that
	plain(w, http.StatusTooManyRequests, "Too many connections of this user")
}

func replacedEnding() ending {
	const text = "Connection closed: its device has opened newer ones."
	return ending{err: &CloseError{Text: text}, text: text, code: closeNormal, status: StatusNormal}
}

// newConn returns a new connection. From the request it stores only the peer's address.
func (s *Server) newConn(id, token string, who Identity, r *http.Request, kind Transports) *Conn {
	c := &Conn{server: s, id: id, who: identity{who.UserID, who.Principal}}
	c.place.token = token
	c.remote, _ = netip.ParseAddrPort(r.RemoteAddr) // invalid for sockets without IP addresses
	c.in.conn = c
	c.out.conn = c
	c.out.busy = true // until the link is attached
	c.life.started = s.time()
	c.times.sent.Store(c.life.started)
	c.renew(who)
	switch {
	case kind == ServerSentEvents:
		c.link = newEventStream(c)
	case kind == LongPolling:
		c.link = newLongPoll(c)
	default:
		c.link = &webSocket{conn: c}
	}
	if s.opts.KeepRequest {
		c.extras().request = kept(r)
	}
	return c
}

// lost ends a connection whose transport failed to start.
func (s *Server) lost(c *Conn, err error) {
	c.out.kill()
	c.end(ending{err: err, silent: true, status: StatusError})
	c.linkGone(c.transport())
}
