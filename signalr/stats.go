package signalr

import (
	"sync/atomic"
	"time"
)

// Stats are a server's counters since it was made. They only grow, except Active, Negotiated and Unfinished.
type Stats struct {
	Active     int   // connections, from their first request until they are over
	Negotiated int   // tokens waiting to be connected
	Started    int64 // connections
	// Connections ended, by status.
	EndedNormal, EndedTimeout, EndedShutdown, EndedError int64
	MessagesIn, MessagesOut                              int64 // hub messages
	Dropped                                              int64 // hub messages that Options.Slow let go
	Refused                                              int64 // connections beyond the limits of their user
	Replaced                                             int64 // connections closed for newer ones of their device
	Unfinished                                           int64 // bytes that wait for the rest of their message, or for a slot
	Panics                                               int64 // recovered, of the application and of the server itself
	BytesIn                                              int64 // read from sockets and from the bodies of POST requests
	BytesOut                                             int64 // of hub messages queued
}

// Ended describes a connection that is over.
type Ended struct {
	Transport string // see [Conn.Transport]
	Status    string // one of the Status constants
	Duration  time.Duration
}

type counters struct {
	started                        atomic.Int64
	normal, timeout, shutdown, bad atomic.Int64
	messagesIn, messagesOut        atomic.Int64
	bytesIn, bytesOut              atomic.Int64
	dropped, unreadEnded           atomic.Int64
	appPanics, ownPanics           atomic.Int64
	refused, replaced              atomic.Int64
	transports                     [len(transportNames)]perTransport
}

func (c *counters) in(messages int64) { c.messagesIn.Add(messages) }

func (c *counters) out(messages int64, bytes int) {
	c.messagesOut.Add(messages)
	c.bytesOut.Add(int64(bytes))
}

func (c *counters) ended(status string) {
	switch status {
	case StatusNormal:
		c.normal.Add(1)
	case StatusTimeout:
		c.timeout.Add(1)
	case StatusShutdown:
		c.shutdown.Add(1)
	default:
		c.bad.Add(1)
	}
}

// Stats returns the counters. It is cheap enough for every scrape.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Active:        s.registry.len(),
		Negotiated:    s.pending.len(),
		Started:       c.started.Load(),
		EndedNormal:   c.normal.Load(),
		EndedTimeout:  c.timeout.Load(),
		EndedShutdown: c.shutdown.Load(),
		EndedError:    c.bad.Load(),
		MessagesIn:    c.messagesIn.Load(),
		MessagesOut:   c.messagesOut.Load(),
		Dropped:       c.dropped.Load(),
		Refused:       c.refused.Load(),
		Replaced:      c.replaced.Load(),
		Unfinished:    s.unfinished.Load(),
		Panics:        c.appPanics.Load() + c.ownPanics.Load(),
		BytesIn:       c.bytesIn.Load(),
		BytesOut:      c.bytesOut.Load(),
	}
}
