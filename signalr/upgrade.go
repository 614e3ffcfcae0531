package signalr

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 demands it
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"time"
)

const upgradeTimeout = 5 * time.Second // for writing 150 bytes into an empty socket

// connectWebSocket answers a request for a WebSocket.
func (s *Server) connectWebSocket(w http.ResponseWriter, r *http.Request, ask request) {
	key, status := upgradeKey(r)
	if status != 0 {
		w.Header().Set("Sec-WebSocket-Version", "13")
		plain(w, status, "Not a WebSocket request of version 13")
		return
	}
	if ask.conn != nil {
		s.upgradeAgain(w, ask, key)
		return
	}
	if c := s.claim(w, r, ask); c != nil {
		s.upgrade(w, c, key)
	}
}

// upgradeAgain gives a connection that outlives its socket another one, whether or not the old one is known to be dead.
func (s *Server) upgradeAgain(w http.ResponseWriter, ask request, key string) {
	c := ask.conn
	n := c.state.arrived.Add(1) // before the answer, which lets the client ask for another
	nc, early, err := s.switchProtocols(w, key)
	if err != nil {
		return // its socket or its window are as they were
	}
	l := &webSocket{conn: c}
	if !c.handOver(l, n) {
		_ = nc.Close() // the connection ended meanwhile, or went on with a later one
		return
	}
	c.renew(ask.who)
	if err = s.engine.adopt(nc, early, l); err != nil {
		_ = nc.Close() // the engine's error is the one that counts
		s.opts.Logger.Error("signalr: take over socket", "error", err)
		c.linkGone(l)
	}
}

// upgrade gives a new connection its socket.
func (s *Server) upgrade(w http.ResponseWriter, c *Conn, key string) {
	defer c.containRequest()
	nc, early, err := s.switchProtocols(w, key)
	if err != nil {
		s.lost(c, err)
		return
	}
	if err = s.engine.adopt(nc, early, c.link.(*webSocket)); err != nil { //nolint:forcetypeassert // made by claim
		_ = nc.Close() // the engine's error is the one that counts
		s.opts.Logger.Error("signalr: take over socket", "error", err)
		s.lost(c, err)
	}
}

// switchProtocols answers 101 and returns the socket, with what the client has sent behind its request.
func (s *Server) switchProtocols(w http.ResponseWriter, key string) (nc net.Conn, early []byte, err error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.noUpgrade(w, err)
		plain(w, http.StatusInternalServerError, "Connection cannot be upgraded: the server's http.ResponseWriter gives no access to its connection.")
		return nil, nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(upgradeTimeout)) // if it fails so does the write
	if _, err = nc.Write(upgradeReply(key)); err != nil {
		_ = nc.Close() // the write's error is the one that counts
		return nil, nil, err
	}
	_ = nc.SetDeadline(time.Time{}) // as above
	return nc, buffered(rw), nil
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
