package redisproc

import (
	"net"
	"strconv"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// freePorts finds loopback ports that nobody listens on, all different. They are below those that the kernel hands to outgoing
// connections: in those a server that comes back could find its port in use by somebody's connection, and a client that tries and
// tries to reach a dead server could be given that very port and reach itself.
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
