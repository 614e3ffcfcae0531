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

// Options say what to start. Binary and Dir must be given, the zero value of another field means its default.
type Options struct {
	Binary     string        // of esh3ar
	Flags      []string      // of serve; --listen, --data-dir and --node-id are the target's
	Env        []string      // of it, NAME=value, besides this process's own: what must not be seen in a list of processes
	Dir        string        // of the data directories
	Host       string        // that nodes listen on, and so are reached at; default 127.0.0.1
	StopWithin time.Duration // after SIGTERM, then SIGKILL; default 1 min. Longer than nodes give themselves
	// Left tells whether a node that has ended has left accepted messages in its data directory; an error: not to be seen now. Nil:
	// none has. It is asked about the directories of earlier runs.
	Left   func(dir string) (bool, error)
	Output io.Writer // what nodes log, by lines; default: nowhere
	Log    *slog.Logger
	Random func(n int64) int64
}

// Target is the children. It realises scale.Target.
type Target struct {
	opts   Options
	folder *folder
	mu     struct {
		sync.Mutex
		children []*child // those that go too, by slot
		closed   bool
	}
}

var _ autoscale.Target = (*Target)(nil)

// errClosed means that Run has ended.
var errClosed = errors.New("the target has stopped")

// New takes the folder; Run gives it back.
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

// Run keeps the children until ctx ends. Then they drain, all at once, and it returns when the last has ended.
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

// stayingLocked gives those that are not to go, and drops those that have gone.
func (t *Target) stayingLocked() []*child {
	t.mu.children = slices.DeleteFunc(t.mu.children, (*child).gone)
	return slices.DeleteFunc(slices.Clone(t.mu.children), (*child).going)
}

// Fleet realises scale.Target. The highest number goes first, because the lowest is used again first.
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

// Resize realises scale.Target. Restarts of children that died are not its business: they change no number.
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

// start starts n more. Those that were started by a holder that had lost its lease are stopped again.
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

// startOne puts a process into the lowest free place.
func (t *Target) startOne() (*child, error) {
	c, err := t.place()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go t.keep(c, started) // ends with the child; Run waits for it
	if err := <-started; err != nil {
		<-c.done // it is not one of the fleet
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

// again puts another process into the place of one that was to go and left accepted messages on its disk: no other node can store
// them. It counts as any other, and goes when the scaler decides so once more.
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
