// Package hub implements the two SignalR hubs: /online-mobile-user connects phones to sessions of package delivery, and
// /business-user connects businesses to the event log. It encodes messages and events but does not decide when they are sent.
//
// Concurrency: its functions run on goroutines of packages signalr and delivery and are safe for concurrent use. Each business
// connection has one goroutine, which ends with the connection.
package hub

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/auth/credential"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/signalr"
)

const (
	maxIDs  = 500 // ids in one AcknowledgeMessages or MarkAsRead
	maxSync = 100 // messages in one Sync
)

// engine is the part of delivery.Engine that the hub uses.
type engine interface {
	Connect(d delivery.Device, conn delivery.Conn) *delivery.Session
	Sync(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error)
}

// Mobile returns the hub of phones.
func Mobile(e engine) *signalr.Hub {
	h := signalr.NewHub()
	h.OnConnected = func(c *signalr.Conn) error {
		c.SetValue(e.Connect(delivery.Device{Recipient: device(c).Recipient, ID: device(c).ID}, &phone{conn: c}))
		return nil
	}
	h.OnDisconnected = func(c *signalr.Conn, _ error) { session(c).Close(c.EndedByClient()) }
	h.OnWritable = func(c *signalr.Conn) {
		if s, ok := c.Value().(*delivery.Session); ok {
			s.Writable()
		}
	}
	signalr.On1(h, "AcknowledgeMessage", func(c *signalr.Call, id string) error {
		return acknowledge(c, []string{id}, (*delivery.Session).Acknowledge)
	})
	signalr.On1(h, "AcknowledgeMessages", func(c *signalr.Call, ids []string) error {
		return acknowledge(c, ids, (*delivery.Session).Acknowledge)
	})
	signalr.On1(h, "MarkAsRead", func(c *signalr.Call, ids []string) error {
		return acknowledge(c, ids, (*delivery.Session).MarkAsRead)
	})
	signalr.On1(h, "AcknowledgeUpTo", func(c *signalr.Call, seq int64) error {
		session(c.Conn()).AcknowledgeUpTo(esh3ar.Seq(max(seq, 0)), whenDurable(c))
		return nil
	})
	signalr.Handle0(h, "ConnectionInfo", func(c *signalr.Call) (connectionInfo, error) {
		return connectionInfo{c.Conn().Transport(), c.Conn().Protocol()}, nil
	})
	signalr.Handle2(h, "Sync", func(c *signalr.Call, after int64, limit int) (messages, error) {
		if limit < 1 || limit > maxSync {
			return nil, signalr.Errorf("invalid_argument: limit must be 1 to %d", maxSync)
		}
		records, err := e.Sync(c.Context(), device(c.Conn()).Recipient, esh3ar.Seq(max(after, 0)), limit)
		if err != nil {
			return nil, errTryAgain
		}
		return records, nil
	})
	return h
}

// acknowledge settles messages. While the phone exceeds its rate, the handler blocks; the connection is not read meanwhile
// (back-pressure).
func acknowledge(c *signalr.Call, ids []string, settle func(*delivery.Session, []esh3ar.MessageID, func(error))) error {
	if err := checkCount(ids); err != nil {
		return err
	}
	s := session(c.Conn())
	if penalty := s.Penalty(); penalty > 0 {
		select {
		case <-time.After(penalty):
		case <-c.Context().Done():
		}
	}
	settle(s, parseIDs(ids), whenDurable(c))
	return nil
}

// connectionInfo is the result of ConnectionInfo: Microsoft's client libraries do not expose transport and protocol.
type connectionInfo struct {
	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`
}

// Authenticate returns a function that verifies a phone's device token. A request of an open connection may have an expired
// token: the connection token, which only the client that negotiated knows, identifies it.
func Authenticate(tokens *auth.Tokens) func(*http.Request) (signalr.Identity, error) {
	return func(r *http.Request) (signalr.Identity, error) {
		verify := tokens.Verify
		if isForOpenConnection(r) {
			verify = tokens.VerifyOpen
		}
		token, err := credential.HeaderOrQuery(r)
		if err != nil {
			return signalr.Identity{}, err
		}
		d, err := verify(token)
		if err != nil {
			return signalr.Identity{}, err
		}
		phone := d.Recipient.String()
		connlimit.Authenticated(r.Context(), connlimit.Owner{Kind: connlimit.Device, ID: phone})
		return signalr.Identity{UserID: phone, Device: d.ID, Principal: d, Expires: d.Expires}, nil
	}
}

// isForOpenConnection reports whether a request belongs to a negotiated connection. A request with an empty id, in any case of
// the parameter's name, would open a new one.
func isForOpenConnection(r *http.Request) (has bool) {
	if _, negotiate := signalr.CutNegotiate(r.URL.Path); negotiate {
		return false
	}
	for name, values := range r.URL.Query() {
		if strings.EqualFold(name, "id") {
			if values[0] == "" {
				return false
			}
			has = true
		}
	}
	return has
}

// errTryAgain is the hub error for calls that the store could not process.
var errTryAgain = signalr.Errorf("try_again")

func checkCount(ids []string) error {
	if len(ids) > maxIDs {
		return signalr.Errorf("invalid_argument: at most %d ids in one call", maxIDs)
	}
	return nil
}

// whenDurable returns a function that completes a call after its change is durable. The call holds no invocation slot until
// then.
func whenDurable(c *signalr.Call) func(error) {
	d := c.Defer()
	return func(err error) {
		if err != nil {
			d.Error(errTryAgain)
			return
		}
		d.Return(nil)
	}
}

// parseIDs parses ids and drops invalid ones, because unknown ids are ignored.
func parseIDs(texts []string) []esh3ar.MessageID {
	ids := make([]esh3ar.MessageID, 0, len(texts))
	for _, text := range texts {
		if id, err := esh3ar.ParseMessageID(text); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func device(c *signalr.Conn) auth.Device { return c.Principal().(auth.Device) } //nolint:forcetypeassert // set by Authenticate

func session(c *signalr.Conn) *delivery.Session { return c.Value().(*delivery.Session) } //nolint:forcetypeassert // set by OnConnected
