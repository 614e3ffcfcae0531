package signalr

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 demands it
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	noConnection   = "No Connection with that ID"
	upgradeTimeout = 5 * time.Second // for writing 150 bytes into an empty socket
)

// endpoint serves the hub's path itself.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.connect(w, r)
	case http.MethodPost, http.MethodDelete:
		s.other(w, r)
	default:
		methodNotAllowed(w)
	}
}

// other answers the requests of transports that are not enabled.
func (s *Server) other(w http.ResponseWriter, r *http.Request) {
	who, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	id := query(r, "id")
	c := s.registry.byToken(id)
	switch {
	case id == "":
		plain(w, http.StatusBadRequest, "Connection ID required")
	case c == nil:
		plain(w, http.StatusNotFound, noConnection)
	case c.who.UserID != who.UserID:
		plain(w, http.StatusForbidden, "The user associated with this connection changed.")
	case r.Method == http.MethodPost:
		plain(w, http.StatusMethodNotAllowed, "POST requests are not allowed for WebSocket connections.")
	default:
		plain(w, http.StatusBadRequest, "Cannot terminate this connection using the DELETE endpoint.")
	}
}

func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	who, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	if !headerHas(r, "Connection", "upgrade") || !headerHas(r, "Upgrade", "websocket") {
		kind := "LongPolling"
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			kind = "ServerSentEvents"
		}
		plain(w, http.StatusNotFound, kind+" transport not supported by this end point type")
		return
	}
	key, status := upgradeKey(r)
	if status != 0 {
		w.Header().Set("Sec-WebSocket-Version", "13")
		plain(w, status, "Not a WebSocket request of version 13")
		return
	}
	if c := s.claim(w, r, who); c != nil {
		s.upgrade(w, c, key)
	}
}

// claim makes the connection a request asks for, or answers why not.
func (s *Server) claim(w http.ResponseWriter, r *http.Request, who Identity) *Conn {
	token := query(r, "id")
	id := token
	if token == "" {
		// The client skipped negotiation. Nobody needs to find this connection by its token.
		id, token = newID(), newID()
	} else {
		if c := s.registry.byToken(token); c != nil {
			s.occupied(w, c, who)
			return nil
		}
		n, found, sameUser := s.pending.take(token, who.UserID)
		switch {
		case !found:
			plain(w, http.StatusNotFound, noConnection)
			return nil
		case !sameUser:
			plain(w, http.StatusForbidden, "The user associated with this connection changed.")
			return nil
		}
		id = n.id
	}
	c := s.newConn(id, token, who, r)
	switch s.registry.add(c, s.opts.Limits.Connections) {
	case added:
		s.counters.started.Add(1)
		return c
	case addTaken:
		s.occupied(w, c, who)
	case addFull, addClosed:
		unavailable(w)
	}
	return nil
}

func (s *Server) occupied(w http.ResponseWriter, c *Conn, who Identity) {
	if c.who.UserID != who.UserID {
		plain(w, http.StatusForbidden, "The user associated with this connection changed.")
		return
	}
	plain(w, http.StatusConflict, "Connection is already active")
}

// newConn makes a connection that keeps nothing of the request but the peer's address.
func (s *Server) newConn(id, token string, who Identity, r *http.Request) *Conn {
	c := &Conn{server: s, id: id, who: who}
	c.place.token = token
	c.remote, _ = netip.ParseAddrPort(r.RemoteAddr) // invalid for sockets without IP addresses
	c.in.conn = c
	c.out.conn = c
	c.out.busy = true // until the link is attached
	c.life.started = s.time()
	c.times.sent.Store(c.life.started)
	c.link = &webSocket{conn: c}
	if s.opts.KeepRequest {
		c.request = kept(r)
	}
	return c
}

// upgrade answers 101 and gives the socket to the engine.
func (s *Server) upgrade(w http.ResponseWriter, c *Conn, key string) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		plain(w, http.StatusInternalServerError, "Connection cannot be upgraded")
		s.lost(c, err)
		return
	}
	_ = nc.SetDeadline(time.Now().Add(upgradeTimeout)) // if it fails so does the write
	if _, err = nc.Write(upgradeReply(key)); err != nil {
		_ = nc.Close() // the write's error is the one that counts
		s.lost(c, err)
		return
	}
	_ = nc.SetDeadline(time.Time{})                                              // as above
	if err = s.engine.adopt(nc, buffered(rw), c.link.(*webSocket)); err != nil { //nolint:forcetypeassert // made above
		_ = nc.Close() // the engine's error is the one that counts
		s.opts.Logger.Error("signalr: take over socket", "error", err)
		s.lost(c, err)
	}
}

// lost ends a connection whose socket never reached the engine.
func (s *Server) lost(c *Conn, err error) {
	c.out.kill()
	c.end(ending{err: err, silent: true, status: StatusError})
	c.linkGone()
}

// buffered returns what the client sent behind its request without waiting for the answer.
func buffered(rw *bufio.ReadWriter) []byte {
	b, _ := rw.Reader.Peek(rw.Reader.Buffered()) // they are there
	return b
}

const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func upgradeReply(key string) []byte {
	sum := sha1.Sum([]byte(key + webSocketGUID)) //nolint:gosec // RFC 6455 demands it
	b := append([]byte(nil), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	return append(b, "\r\n\r\n"...)
}

// upgradeKey returns the client's key, or the status that refuses the upgrade.
func upgradeKey(r *http.Request) (key string, status int) {
	if r.Header.Get("Sec-WebSocket-Version") != "13" {
		return "", http.StatusUpgradeRequired
	}
	key = r.Header.Get("Sec-WebSocket-Key")
	if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != 16 || r.ProtoMajor != 1 {
		return "", http.StatusBadRequest
	}
	return key, 0
}

func headerHas(r *http.Request, name, token string) bool {
	for _, v := range r.Header.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
