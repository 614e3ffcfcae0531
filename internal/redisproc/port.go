package redisproc

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below those that the kernel hands to outgoing connections (from 32768 on Linux). In those a server
// that comes back could find its port in use by somebody's connection, and a client that tries and tries to reach a dead
// server could be given that very port and reach itself.
const (
	lowestPort  = 21000
	highestPort = 32000
)

// freePorts finds loopback ports that nobody listens on, all different.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	listeners := make([]net.Listener, 0, n) // held until all are found, so that they differ
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		ports, listeners = append(ports, port), append(listeners, l)
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no free port between %d and %d", lowestPort, highestPort)
}
