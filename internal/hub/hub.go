// Package hub joins phones to delivery: the SignalR methods of /online-mobile-user on one side, sessions on the other. It
// knows the wire form of messages and nothing of when they go out.
//
// Concurrency: its functions run on the goroutines of signalr and delivery and keep no state of their own.
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
	maxIDs  = 500 // of one AcknowledgeMessages or MarkAsRead
	maxSync = 100 // messages of one Sync
)

// engine is what the hub drives.
type engine interface {
	Connect(d delivery.Device, conn delivery.Conn) *delivery.Session
	Sync(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error)
}

// Mobile makes the hub of the phones.
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

// acknowledge settles messages. The handler waits while its phone is over its rate: meanwhile its connection is not read.
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

// connectionInfo tells a client how it is connected: its own library keeps that to itself.
type connectionInfo struct {
	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`
}

// Authenticate reads a phone's token. A request with a connection's token belongs to what was opened: that token was given
// to who negotiated, and is of no use to anybody else.
func Authenticate(tokens *auth.Tokens) func(*http.Request) (signalr.Identity, error) {
	return func(r *http.Request) (signalr.Identity, error) {
		verify := tokens.Verify
		if belongsToOpen(r) {
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

// belongsToOpen tells whether a request belongs to a connection that was negotiated. An id that is empty, under whatever
// writing of its name, would open one.
func belongsToOpen(r *http.Request) (has bool) {
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

// errTryAgain is what phones see when the store could not take their call.
var errTryAgain = signalr.Errorf("try_again")

func checkCount(ids []string) error {
	if len(ids) > maxIDs {
		return signalr.Errorf("invalid_argument: at most %d ids in one call", maxIDs)
	}
	return nil
}

// whenDurable completes a call when its change is on disk; until then it holds no invocation slot.
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

// parseIDs drops what is no id: unknown ids are ignored, and such a text is an unknown id.
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
