package hub

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/signalr"
)

// revokedText is the close message for a phone whose token was revoked.
const revokedText = "the device token was revoked"

// RefuseRevoked makes a hub of Mobile close connections whose token was revoked while they were opened. The server lists a
// connection before it calls OnConnected, so either EndRevoked or this check finds it.
func RefuseRevoked(h *signalr.Hub, tokens *auth.Tokens) {
	connected := h.OnConnected
	h.OnConnected = func(c *signalr.Conn) error {
		err := connected(c)
		if tokens.Revoked(device(c)) {
			c.Close(revokedText, false)
		}
		return err
	}
}

// EndRevoked closes connections whose token was revoked: those of the revocation's phone, or of any phone if it names none.
func EndRevoked(s *signalr.Server, tokens *auth.Tokens, r esh3ar.Revocation) {
	conns := s.Conns
	if r.Recipient != 0 {
		conns = func() []*signalr.Conn { return s.UserConns(r.Recipient.String()) }
	}
	for _, c := range conns() {
		if tokens.Revoked(device(c)) {
			c.Close(revokedText, false)
		}
	}
}
