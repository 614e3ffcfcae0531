package torture

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/nodeproc"
)

// attempts is how many pushes of one life may go unacknowledged.
const attempts = 3

// target is the node under torture.
type target struct {
	config  nodeproc.Config
	secrets nodeproc.Secrets

	down sync.RWMutex // held for writing while the node is down: who has time waits for it
	node *nodeproc.Node
}

func newTarget(o *Options, dataDir string) (*target, error) {
	listen, err := nodeproc.FreePort()
	if err != nil {
		return nil, err
	}
	// Fast enough that messages run out of attempts between two kills; nothing is ever purged.
	flags := []string{
		"--log-level", "error", "--ack-timeout", "400ms", "--retry-base", "100ms", "--retry-cap", "400ms",
		"--retry-attempts", strconv.Itoa(attempts), "--keep-messages", "720h", "--keep-events", "720h",
	}
	if o.PowerCuts {
		flags = append(flags, "--simulate-power-cuts")
	}
	return &target{config: nodeproc.Config{Binary: o.Binary, DataDir: dataDir, Listen: listen, Flags: append(flags, o.Flags...)}}, nil
}

func (t *target) url() string { return "http://" + t.config.Listen }

// start starts the node for the first time.
func (t *target) start(ctx context.Context) (err error) {
	t.down.Lock()
	defer t.down.Unlock()
	if err := t.startLocked(ctx); err != nil {
		return err
	}
	t.secrets, err = nodeproc.ReadSecrets(t.config.DataDir)
	return err
}

func (t *target) startLocked(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t.node, err = nodeproc.Start(ctx, t.config)
	return err
}

// kill ends the node in the middle of everything and starts it again.
func (t *target) kill(ctx context.Context, killed func()) error {
	t.down.Lock()
	defer t.down.Unlock()
	err := t.node.Kill()
	killed()
	if err != nil {
		return err
	}
	return t.startLocked(ctx)
}

// stop ends the node in good order.
func (t *target) stop() error {
	t.down.Lock()
	defer t.down.Unlock()
	return t.node.Stop()
}

// end makes sure that the node does not outlive the run.
func (t *target) end() error {
	t.down.Lock()
	defer t.down.Unlock()
	if t.node == nil {
		return nil
	}
	return t.node.Kill()
}

// await returns when the node is not down.
func (t *target) await() {
	t.down.RLock()
	defer t.down.RUnlock()
}

// pause stops the node as it is for a while.
func (t *target) pause(ctx context.Context, length time.Duration) error {
	return errors.Join(t.freeze(ctx, length), t.node.Resume())
}

// freeze leaves the node stopped.
func (t *target) freeze(ctx context.Context, length time.Duration) error {
	if err := t.node.Pause(); err != nil {
		return err
	}
	return sleep(ctx, length)
}
