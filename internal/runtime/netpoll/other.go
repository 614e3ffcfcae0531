//go:build !linux

package netpoll

import (
	"context"
	"net"
	"time"
)

// Poller does nothing on this system: connections use the runtime's poller.
type Poller struct {
	// OnPanic is not used.
	OnPanic func(cause any)
	// WriteTimeout is not used.
	WriteTimeout time.Duration
}

// New returns a Poller.
func New() (*Poller, error) { return &Poller{}, nil }

// Run blocks until ctx is done.
func (*Poller) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Listen returns inner.
func (*Poller) Listen(inner net.Listener) (net.Listener, error) { return inner, nil }
