package processes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Options configure a Target. Binary and Dir are required; the zero value of any other field selects its default.
type Options struct {
	Binary     string        // path of the esh3ar binary
	Flags      []string      // flags of serve, without --listen, --data-dir and --node-id, which the target sets
	Env        []string      // additional environment variables, NAME=value, for values that must not appear in a list of processes
	Dir        string        // directory that holds the data directories
	Host       string        // address on which nodes listen and are reached; default 127.0.0.1
	StopWithin time.Duration // time between SIGTERM and SIGKILL; default 1 min, longer than the nodes' own shutdown timeout
	// Left reports whether a stopped node has left accepted messages in its data directory. An error means that this cannot be
	// determined now. It is called for the directories of earlier runs. Nil means that there are none.
	Left   func(dir string) (bool, error)
	Output io.Writer // receives the log lines of the nodes; default: discard
	Log    *slog.Logger
	Random func(n int64) int64
}

// Target runs the child processes. It implements autoscale.Target.
type Target struct {
	opts   Options
	folder *folder
	mu     struct {
		sync.Mutex
		children []*child // including those that are stopping, sorted by slot
		closed   bool
	}
}

var _ autoscale.Target = (*Target)(nil)

// errClosed means that Run has ended.
var errClosed = errors.New("the target has stopped")

// New locks the folder; Run releases it.
func New(o Options) (*Target, error) {
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	o.StopWithin = cmp.Or(o.StopWithin, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	return &Target{opts: o, folder: f}, nil
}

// Run manages the children until ctx ends. Then all of them drain concurrently, and Run returns when the last has exited.
func (t *Target) Run(ctx context.Context) error {
	if t.opts.Left != nil {
		t.fetch(ctx)
	}
	<-ctx.Done()
	t.mu.Lock()
	t.mu.closed = true
	children := slices.Clone(t.mu.children)
	t.mu.Unlock()
	for _, c := range children {
		c.end()
	}
	for _, c := range children {
		<-c.done
	}
	return t.folder.close()
}

// stayingLocked removes the children that have exited, and returns those that should keep running.
func (t *Target) stayingLocked() []*child {
	t.mu.children = slices.DeleteFunc(t.mu.children, (*child).gone)
	return slices.DeleteFunc(slices.Clone(t.mu.children), (*child).going)
}

// Fleet implements autoscale.Target. The highest slot is removed first, because the lowest free one is used first.
func (t *Target) Fleet(context.Context) (autoscale.Fleet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	staying := t.stayingLocked()
	f := autoscale.Fleet{Wanted: len(staying)}
	for _, c := range t.mu.children {
		f.Own = append(f.Own, c.id)
	}
	for _, c := range slices.Backward(staying) {
		f.RemovalOrder = append(f.RemovalOrder, c.id)
	}
	return f, nil
}

// Resize implements autoscale.Target. Restarts after crashes do not concern it, because they do not change the number.
func (t *Target) Resize(ctx context.Context, o autoscale.Order) error {
	t.mu.Lock()
	closed, staying := t.mu.closed, t.stayingLocked()
	t.mu.Unlock()
	if closed {
		return errClosed
	}
	if o.Nodes >= len(staying) {
		return t.start(ctx, o, o.Nodes-len(staying))
	}
	return o.Guard(ctx, func(context.Context) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, c := range staying[o.Nodes:] {
			t.opts.Log.Info("a node drains", "node", c.id)
			c.end()
		}
		return nil
	})
}

// start starts n more nodes. If the lease turns out to be lost, the nodes that were started are stopped again.
func (t *Target) start(ctx context.Context, o autoscale.Order, n int) error {
	var started []*child
	err := o.Guard(ctx, func(context.Context) error {
		for range n {
			c, err := t.startOne()
			if err != nil {
				return fmt.Errorf("start a node: %w", err)
			}
			started = append(started, c)
		}
		return nil
	})
	if errors.Is(err, autoscale.ErrFenced) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, c := range started {
			c.end()
		}
	}
	return err
}

// startOne starts a process in the lowest free slot.
func (t *Target) startOne() (*child, error) {
	c, err := t.place()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go t.keep(c, started) // ends with the child; Run waits for it
	if err := <-started; err != nil {
		<-c.done // it never became part of the fleet
		return nil, err
	}
	t.opts.Log.Info("a node was started", "node", c.id)
	return c, nil
}

func (t *Target) place() (*child, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil, errClosed
	}
	t.stayingLocked()
	slot := 1
	for _, c := range t.mu.children {
		if c.slot == slot {
			slot++
		}
	}
	c := t.child(slot)
	t.putLocked(c)
	return c, nil
}

func (t *Target) putLocked(c *child) {
	t.mu.children = append(t.mu.children, c)
	slices.SortFunc(t.mu.children, func(a, b *child) int { return a.slot - b.slot })
}

func (t *Target) child(slot int) *child {
	return &child{slot: slot, id: membership.NodeID(t.folder.id(slot)), stop: make(chan struct{}), done: make(chan struct{})}
}

// again starts a process in the slot of a child that was stopped and left accepted messages on its disk, because no other node can
// store them. It counts as any other, and the scaler may stop it once more.
func (t *Target) again(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return
	}
	next := t.child(c.slot)
	t.mu.children[slices.Index(t.mu.children, c)] = next
	go t.keep(next, nil) // ends with the child; Run waits for it
}
