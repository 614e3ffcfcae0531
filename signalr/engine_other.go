//go:build !linux

package signalr

import (
	"errors"
	"net"
)

var errNoPoller = errors.New("signalr: no poller on this platform")

// poller is not there: every connection gets a goroutine.
type poller struct{}

func newPoller() (*poller, error) { return nil, errNoPoller }

func (*poller) run() error { return nil }
func (*poller) close()     {}

func (*poller) adopt(net.Conn, []byte, *webSocket) (bool, error) { return false, nil }
