package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// attempts is the number of pushes of one life after which an unacknowledged message fails.
const attempts = 3

// fleet is the system under test: one node with its own store, or several nodes with a shared environment.
type fleet struct {
	nodes       []*target
	environment *environment // nil for a single node with its own store
	secrets     nodeproc.Secrets
	turns       atomic.Uint64
}

// newFleet prepares the nodes and starts the shared servers.
func newFleet(ctx context.Context, o *Options, dir string) (f *fleet, err error) {
	f = &fleet{}
	if o.Nodes > 1 {
		if f.environment, err = newEnvironment(ctx, dir); err != nil {
			return f, err
		}
	}
	for number := 1; number <= max(o.Nodes, 1); number++ {
		config, err := nodeConfig(o, filepath.Join(dir, "data-"+strconv.Itoa(number)))
		if err != nil {
			return f, err
		}
		if f.environment != nil {
			flags, err := f.environment.connectNode(number)
			if err != nil {
				return f, err
			}
			config.Flags = append(config.Flags, flags...)
		}
		f.nodes = append(f.nodes, newTarget(number, config))
	}
	return f, nil
}

// nodeConfig returns a configuration with short timeouts, so that messages run out of attempts between two kills.
// Nothing is purged.
func nodeConfig(o *Options, dataDir string) (nodeproc.Config, error) {
	listen, err := nodeproc.FreePort()
	flags := []string{
		"--log-level", "error", "--ack-timeout", "400ms", "--retry-base", "100ms", "--retry-cap", "400ms",
		"--retry-attempts", strconv.Itoa(attempts), "--keep-messages", "720h", "--keep-events", "720h",
	}
	if o.PowerCuts {
		flags = append(flags, "--simulate-power-cuts")
	}
	return nodeproc.Config{Binary: o.Binary, DataDir: dataDir, Listen: listen, Flags: append(flags, o.Flags...)}, err
}

// start starts all nodes concurrently. One of them creates the secrets.
func (f *fleet) start(ctx context.Context) error {
	starts, ctx := errgroup.WithContext(ctx)
	for _, n := range f.nodes {
		starts.Go(func() error { return n.Restart(ctx) })
	}
	if err := starts.Wait(); err != nil {
		return err
	}
	var errs []error
	for _, n := range f.nodes {
		var err error
		if f.secrets, err = nodeproc.ReadSecrets(n.config.DataDir); err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("read secrets of any node: %w", errors.Join(errs...))
}

// randomNode returns a random node that is up. It waits if all are down.
func (f *fleet) randomNode(ctx context.Context, random *rand.Rand) *target {
	return f.from(ctx, random.IntN(len(f.nodes)))
}

// nextNode returns the nodes that are up, round robin.
func (f *fleet) nextNode(ctx context.Context) *target {
	return f.from(ctx, int((f.turns.Add(1)-1)%uint64(len(f.nodes))))
}

func (f *fleet) from(ctx context.Context, first int) *target {
	for i := range f.nodes {
		if n := f.nodes[(first+i)%len(f.nodes)]; !n.isDown() {
			return n
		}
	}
	f.nodes[first].await(ctx)
	return f.nodes[first]
}

// alive returns an error if a node exited unexpectedly.
func (f *fleet) alive() error {
	for _, n := range f.nodes {
		if err := n.alive(); err != nil {
			return err
		}
	}
	return nil
}

// killAndRestartAll kills every process that stores messages, then restarts them, the database first.
func (f *fleet) killAndRestartAll(ctx context.Context, killed func()) error {
	var all []process
	for _, n := range f.nodes {
		all = append(all, n)
	}
	if f.environment != nil {
		all = append(all, f.environment.postgres)
	}
	for _, p := range all {
		if err := p.Kill(); err != nil {
			return err
		}
		killed()
	}
	for i := range all {
		if err := all[len(all)-1-i].Restart(ctx); err != nil { // reverse order: the database starts first
			return err
		}
	}
	return nil
}

// stop shuts the nodes down gracefully.
func (f *fleet) stop() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.stop())
	}
	return errors.Join(errs...)
}

// end kills every process that is left.
func (f *fleet) end() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.end())
	}
	return errors.Join(append(errs, f.environment.end())...)
}

// atOnce returns how many faults may be in force at the same time.
func (f *fleet) atOnce() int {
	if f.environment == nil {
		return 1
	}
	return 3 // for example PostgreSQL, a Redis master and a node
}

// absence returns how long a killed process stays down. A single node restarts at once: without it there is no traffic.
func (f *fleet) absence(random *rand.Rand) time.Duration {
	if f.environment == nil || random.IntN(3) == 0 {
		return 0
	}
	return between(random, 0, 4*time.Second)
}
