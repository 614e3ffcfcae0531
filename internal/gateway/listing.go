package gateway

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// listing reads the registry, again and again. While it does not answer or lists nobody, as one that nodes cannot write to,
// the last list stands: at first the fixed one, if there is any. Our own checks know which of those nodes are there.
type listing struct {
	opts     *Options
	dispatch *dispatch
	listed   chan<- struct{} // capacity 1: new nodes want to be checked
	away     bool
}

// run reads until ctx ends. It returns nil.
func (l *listing) run(ctx context.Context) error {
	ticker := time.NewTicker(membership.Interval)
	defer ticker.Stop()
	known := 0
	for ctx.Err() == nil {
		if n := l.read(ctx); n != known {
			known = n
			select {
			case l.listed <- struct{}{}:
			default: // somebody is asked soon anyway
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return nil
}

// read takes the list, and tells how many nodes are known then.
func (l *listing) read(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, membership.Interval)
	defer cancel()
	nodes, err := l.opts.Registry.Nodes(ctx)
	l.report(err)
	if err == nil {
		l.dispatch.list(nodes)
	}
	return len(l.dispatch.nodes())
}

// report logs that the registry went away or came back, once.
func (l *listing) report(err error) {
	switch known := len(l.dispatch.nodes()); {
	case err != nil && !l.away && known == 0:
		l.opts.Log.Warn("the registry lists no nodes yet; calls are answered 503 until it does", "error", err)
	case err != nil && !l.away:
		l.opts.Log.Warn("the registry does not answer; going on with the nodes that are known and our own checks", "nodes", known, "error", err)
	case err == nil && l.away:
		l.opts.Log.Info("the registry answers")
	}
	l.away = err != nil
}
