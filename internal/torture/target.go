package torture

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// target is a node under torture.
type target struct {
	number int // from 1
	config nodeproc.Config

	mu   sync.Mutex
	node *nodeproc.Node
	up   chan struct{} // closed while it is not known to be down
}

func newTarget(number int, config nodeproc.Config) *target {
	t := &target{number: number, config: config, up: make(chan struct{})}
	close(t.up)
	return t
}

func (t *target) url() string { return "http://" + t.config.Listen }

// Restart starts the node, and starts it anew after a Kill. A node that has waited for its database in vain ends, and is started
// again, as whatever looks after it does.
func (t *target) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	node, err := nodeproc.Start(ctx, t.config)
	for err != nil && strings.Contains(err.Error(), gaveUp) && ctx.Err() == nil {
		node, err = nodeproc.Start(ctx, t.config)
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.node = node
	if t.isDownLocked() {
		close(t.up)
	}
	return nil
}

// Kill ends the node in the middle of everything. One that has ended by itself is an error.
func (t *target) Kill() error {
	if err := t.alive(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up = make(chan struct{})
	return t.node.Kill()
}

// alive tells what a node said that ended by itself.
func (t *target) alive() error {
	select {
	case <-t.current().Exited():
		return fmt.Errorf("node %d ended by itself with code %d: %s", t.number, t.current().ExitCode(), lastWords(t.current().Stderr.String()))
	default:
		return nil
	}
}

// lastWords bounds what is told of a log.
func lastWords(log string) string { return strings.TrimSpace(log[max(0, len(log)-4000):]) }

func (t *target) current() *nodeproc.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.node
}

// Pause stops the node as it is, until Resume.
func (t *target) Pause() error { return t.current().Pause() }

// Resume lets it go on.
func (t *target) Resume() error { return t.current().Resume() }

// stop ends the node in good order.
func (t *target) stop() error { return t.current().Stop() }

// end makes sure that the node does not outlive the run.
func (t *target) end() error {
	if node := t.current(); node != nil {
		return node.Kill()
	}
	return nil
}

func (t *target) isDown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.isDownLocked()
}

func (t *target) isDownLocked() bool {
	select {
	case <-t.up:
		return false
	default:
		return true
	}
}

// await returns when the node is not down, or the context is over.
func (t *target) await(ctx context.Context) {
	t.mu.Lock()
	up := t.up
	t.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
	}
}

// gaveUp is what a node says whose database did not answer for half a minute.
const gaveUp = "start PostgreSQL, or correct --database-url"

// startPatience bounds the start of anything: a database that recovers from a crash on a busy machine is the slowest.
const startPatience = 2 * time.Minute
