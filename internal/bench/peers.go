package bench

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// messenger is a system that takes calls over HTTP and pushes a message for each to a phone. It runs on this machine. To add
// a system, implement messenger in a file of its own and add a line to peers.
type messenger interface {
	// format returns how the system takes calls.
	format() *callFormat
	// addr returns the address that takes calls.
	addr() string
	// connect brings the phones with recipient indexes 0 to count-1 online. They record what arrives in the ledger, and
	// acknowledge it if the system has acknowledgements. The function that it returns disconnects them.
	connect(ctx context.Context, count int, l *ledger) (disconnect func(), err error)
	// cpuTime returns the CPU time that the system has used so far.
	cpuTime() (time.Duration, error)
	// memory returns the resident memory of the system in bytes.
	memory() (int64, error)
	// close stops the system.
	close() error
}

// balancer starts a system that distributes calls over servers.
type balancer func(ctx context.Context, servers []string) (*proxy, error)

// peer is a system that --versus names. It is a messenger or a balancer.
type peer struct {
	name    string // as people write it
	install string // command that installs it
	start   func(ctx context.Context) (messenger, error)
	balance balancer
}

// peers lists the systems by the name of their program.
var peers = map[string]peer{
	"centrifugo": {name: "Centrifugo", install: "go install github.com/centrifugal/centrifugo/v6@v6.9.1", start: startCentrifugo},
	"haproxy":    {name: "HAProxy", install: "apt-get install -y --no-install-recommends haproxy", balance: startHAProxy},
	"nginx":      {name: "nginx", install: "apt-get install -y --no-install-recommends nginx-light", balance: startNginx},
}

// peerOf returns the system of a name, or the messenger of another build of esh3ar if the name is a path.
func peerOf(name string, o *Options) (peer, error) {
	if strings.Contains(name, "/") {
		return peer{name: filepath.Base(name) + " (other build)", install: "make build", start: func(ctx context.Context) (messenger, error) {
			other := *o
			other.Binary = name
			return startEsh3ar(ctx, &other)
		}}, nil
	}
	p, ok := peers[name]
	if !ok {
		return p, fmt.Errorf("--versus: %q is not one of %s, and not the path of another esh3ar", name, strings.Join(slices.Sorted(maps.Keys(peers)), ", "))
	}
	return p, nil
}

// checkPeers returns an error that names the install command if a system is not installed.
func (o *Options) checkPeers() error {
	for _, name := range o.Versus {
		p, err := peerOf(name, o)
		if err != nil {
			return err
		}
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("--versus: %s is not installed or not on the PATH; run: %s", name, p.install)
		}
	}
	return nil
}
