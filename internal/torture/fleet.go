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

// attempts is how many pushes of one life may go unacknowledged.
const attempts = 3

// fleet is what is under torture: a node with a store of its own, or several on common ground.
type fleet struct {
	nodes   []*target
	ground  *ground // nil: there is one node, and all it has is its own
	secrets nodeproc.Secrets
	turns   atomic.Uint64
}

// newFleet prepares the nodes, and starts what they stand on.
func newFleet(ctx context.Context, o *Options, dir string) (f *fleet, err error) {
	f = &fleet{}
	if o.Nodes > 1 {
		if f.ground, err = newGround(ctx, dir); err != nil {
			return f, err
		}
	}
	for number := 1; number <= max(o.Nodes, 1); number++ {
		config, err := nodeConfig(o, filepath.Join(dir, "data-"+strconv.Itoa(number)))
		if err != nil {
			return f, err
		}
		if f.ground != nil {
			flags, err := f.ground.reach(number)
			if err != nil {
				return f, err
			}
			config.Flags = append(config.Flags, flags...)
		}
		f.nodes = append(f.nodes, newTarget(number, config))
	}
	return f, nil
}

// nodeConfig is fast enough that messages run out of attempts between two kills; nothing is ever purged.
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

// start starts all nodes at once; one of them makes the secrets.
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
	return fmt.Errorf("no node made secrets: %w", errors.Join(errs...))
}

// some chooses a node that is not known to be down. When all are it waits for one.
func (f *fleet) some(ctx context.Context, random *rand.Rand) *target {
	return f.from(ctx, random.IntN(len(f.nodes)))
}

// turn takes the nodes in turn.
func (f *fleet) turn(ctx context.Context) *target {
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

// alive tells of a node that ended by itself.
func (f *fleet) alive() error {
	for _, n := range f.nodes {
		if err := n.alive(); err != nil {
			return err
		}
	}
	return nil
}

// fell kills everything that keeps messages, at once, and brings it back.
func (f *fleet) fell(ctx context.Context, killed func()) error {
	var all []process
	for _, n := range f.nodes {
		all = append(all, n)
	}
	if f.ground != nil {
		all = append(all, f.ground.postgres)
	}
	for _, p := range all {
		if err := p.Kill(); err != nil {
			return err
		}
		killed()
	}
	for i := range all {
		if err := all[len(all)-1-i].Restart(ctx); err != nil { // the database first
			return err
		}
	}
	return nil
}

// stop ends the nodes in good order.
func (f *fleet) stop() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.stop())
	}
	return errors.Join(errs...)
}

// end makes sure that nothing outlives the run.
func (f *fleet) end() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.end())
	}
	return errors.Join(append(errs, f.ground.end())...)
}

// atOnce is how many parts suffer at the same time.
func (f *fleet) atOnce() int {
	if f.ground == nil {
		return 1
	}
	return 3 // such as PostgreSQL, a master of Redis and a node
}

// absence is how long a process stays away that was killed: a node alone comes back at once, for without it nothing happens.
func (f *fleet) absence(random *rand.Rand) time.Duration {
	if f.ground == nil || random.IntN(3) == 0 {
		return 0
	}
	return between(random, 0, 4*time.Second)
}
