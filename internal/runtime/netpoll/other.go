//go:build !linux

package netpoll

import (
	"context"
	"net"
	"time"
)

// Poller watches nothing here: connections are Go's own.
type Poller struct {
	// Panics is not used here.
	Panics func(cause any)
	// WritePatience is not used here.
	WritePatience time.Duration
}

// New makes a Poller.
func New() (*Poller, error) { return &Poller{}, nil }

// Run waits until ctx ends.
func (*Poller) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Listen gives the listener back.
func (*Poller) Listen(inner net.Listener) (net.Listener, error) { return inner, nil }
