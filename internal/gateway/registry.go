package gateway

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// registryPoller reads the registry periodically. While the registry is unavailable or empty, as after a data loss, the last
// list stays in use, at first the fixed one. Health checks show which of these nodes are available.
type registryPoller struct {
	opts     *Options
	dispatch *dispatch
	changed  chan<- struct{} // triggers a check of new nodes; capacity 1
	away     bool
}

// run polls until ctx is done. It returns nil.
func (l *registryPoller) run(ctx context.Context) error {
	ticker := time.NewTicker(membership.Interval)
	defer ticker.Stop()
	known := 0
	for ctx.Err() == nil {
		if n := l.read(ctx); n != known {
			known = n
			select {
			case l.changed <- struct{}{}:
			default: // a check is due already
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return nil
}

// read applies the registry's list and returns the number of known nodes.
func (l *registryPoller) read(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, membership.Interval)
	defer cancel()
	nodes, err := l.opts.Registry.Nodes(ctx)
	l.report(err)
	if err == nil {
		l.dispatch.setNodes(nodes)
	}
	return len(l.dispatch.nodes())
}

// report logs once that the registry has become unavailable or available.
func (l *registryPoller) report(err error) {
	switch known := len(l.dispatch.nodes()); {
	case err != nil && !l.away && known == 0:
		l.opts.Log.Warn("the registry lists no nodes yet; calls are answered 503 until it does", "error", err)
	case err != nil && !l.away:
		l.opts.Log.Warn("the registry does not answer; continuing with the known nodes and health checks", "nodes", known, "error", err)
	case err == nil && l.away:
		l.opts.Log.Info("the registry answers")
	}
	l.away = err != nil
}
