package hub

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/signalr"
)

// revokedText is what a phone is told whose token was revoked.
const revokedText = "the device token was revoked"

// RefuseRevoked makes a hub of Mobile close connections whose token was revoked while they opened. A connection is listed by
// its server before OnConnected runs; so either EndRevoked finds it, or this does.
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

// EndRevoked closes the connections that were opened with a token that is void now: those of the revocation's phone, or all
// where it names none.
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
