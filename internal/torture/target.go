package torture

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// target is a node under test.
type target struct {
	number int // from 1
	config nodeproc.Config

	mu   sync.Mutex
	node *nodeproc.Node
	up   chan struct{} // closed while the node is not known to be down
}

func newTarget(number int, config nodeproc.Config) *target {
	t := &target{number: number, config: config, up: make(chan struct{})}
	close(t.up)
	return t
}

func (t *target) url() string { return "http://" + t.config.Listen }

// Restart starts the node, also after a Kill. A node that exits because its database did not answer in time is started
// again, as a service manager does.
func (t *target) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	node, err := nodeproc.Start(ctx, t.config)
	for err != nil && strings.Contains(err.Error(), databaseTimeoutHint) && ctx.Err() == nil {
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

// Kill kills the node at an arbitrary point. It returns an error if the node had already exited.
func (t *target) Kill() error {
	if err := t.alive(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up = make(chan struct{})
	return t.node.Kill()
}

// alive returns an error with the end of the log if the node exited unexpectedly.
func (t *target) alive() error {
	select {
	case <-t.current().Exited():
		return fmt.Errorf("node %d exited unexpectedly with code %d: %s", t.number, t.current().ExitCode(), logTail(t.current().Stderr.String()))
	default:
		return nil
	}
}

// logTail returns the last 4,000 bytes of a log.
func logTail(log string) string { return strings.TrimSpace(log[max(0, len(log)-4000):]) }

func (t *target) current() *nodeproc.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.node
}

// Pause stops the process with SIGSTOP until Resume.
func (t *target) Pause() error { return t.current().Pause() }

// Resume continues a paused process.
func (t *target) Resume() error { return t.current().Resume() }

// stop shuts the node down gracefully.
func (t *target) stop() error { return t.current().Stop() }

// end kills the node if it still runs.
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

// await returns when the node is up or ctx ends.
func (t *target) await(ctx context.Context) {
	t.mu.Lock()
	up := t.up
	t.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
	}
}

// databaseTimeoutHint is part of the message of a node whose database did not answer for 30 s.
const databaseTimeoutHint = "start PostgreSQL, or correct --database-url"

// startPatience bounds the start of a server. The slowest is a database that recovers from a crash on a busy machine.
const startPatience = 2 * time.Minute
