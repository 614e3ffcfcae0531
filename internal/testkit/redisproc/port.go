package redisproc

import (
	"net"
	"strconv"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// freePorts returns n different free loopback ports. They are outside the range from which the kernel assigns ports to
// outgoing connections. Within that range a restarting server could find its port in use by a connection, and a client
// that keeps dialing a dead server could be assigned that very port and connect to itself.
func freePorts(n int) (ports []int, err error) {
	for len(ports) < n {
		addr, err := nodeproc.FreePort()
		if err != nil {
			return nil, err
		}
		_, text, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
