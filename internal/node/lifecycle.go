package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
)

// run starts the parts, prints the next steps for the operator, and stops the parts in order when ctx ends or a part fails.
func (n *node) run(ctx context.Context, listener net.Listener, sidecars *sidecars, s Streams) error {
	fmt.Fprintln(s.Out, n.store.opened())
	parts, stopParts := n.start(listener)
	n.announce(s)
	n.ready.Store(true)
	sidecarFailed, stopSidecars := sidecars.start(ctx)
	var err error
	select {
	case <-ctx.Done():
		n.log.Info("stopping")
	case <-n.store.failed():
		// The state on disk is unknown: another write or a clean close could only make it worse.
		return esh3ar.Errorf(esh3ar.StoreFailed, "stopped: %w", n.store.fault())
	case <-n.spilling.failed():
		return esh3ar.Errorf(esh3ar.StoreFailed, "stopped: spill: %w", n.spilling.kept.Fault())
	case err = <-parts.failed:
	case err = <-sidecarFailed:
	}
	return errors.Join(err, stopSidecars(), stopParts(context.WithoutCancel(ctx)))
}

// abandon closes the parts of a node that was opened and never ran.
func (n *node) abandon(ctx context.Context) error {
	n.cluster.close()
	return errors.Join(n.admin.close(), n.spilling.Close(ctx), n.store.Close())
}

// parts are the running parts of a node.
type parts struct{ failed chan error }

// start runs every part that has a Run. The returned function shuts the node down in this order: notify gateways, refuse new calls,
// hand phones over, answer calls in flight, commit what they stored, drain the spill as far as the database takes it, settle and
// publish what phones acknowledged, close the store.
func (n *node) start(listener net.Listener) (*parts, func(context.Context) error) {
	p := &parts{failed: make(chan error, 1)}
	var edges, takers, drain, movers, cluster errgroup.Group
	intakeCtx, stopIntake := context.WithCancel(context.Background())
	drainCtx, stopDrain := context.WithCancel(context.Background())
	engineCtx, stopEngine := context.WithCancel(context.Background())
	clusterCtx, leaveCluster := context.WithCancel(context.Background())
	cluster.Go(func() error { return n.cluster.run(clusterCtx, n.engine) })
	cluster.Go(func() error { return n.hubs.join(clusterCtx) })
	movers.Go(func() error { return n.engine.Run(engineCtx) })
	movers.Go(func() error { return n.retentionJob.Run(engineCtx) })
	movers.Go(func() error { return n.load.run(engineCtx) })
	movers.Go(func() error { return n.watchDisk(engineCtx) })
	movers.Go(func() error { return n.metrics.run(engineCtx) })
	movers.Go(func() error { return n.returnMemory(engineCtx) })
	movers.Go(func() error { return n.limits.run(engineCtx) })
	movers.Go(func() error { return n.backlog.run(engineCtx) })
	movers.Go(func() error { return n.plans.Run(engineCtx) })
	movers.Go(func() error { return n.account.Watch.Run(engineCtx) })
	movers.Go(func() error { return n.moving.Run(engineCtx) })
	movers.Go(func() error { return n.drainOnRequest(engineCtx) })
	movers.Go(func() error { return n.quotas.Run(engineCtx) })
	takers.Go(func() error { return n.intake.Run(intakeCtx) })
	drain.Go(func() error { return n.spilling.run(drainCtx) })
	movers.Go(func() error { return n.feed.Run(engineCtx) })
	edges.Go(func() error { return p.report(n.hubs.run()) })
	movers.Go(func() error { return p.report(n.sockets.Run(engineCtx)) })
	edges.Go(func() error { return p.report(n.server.Serve(listener)) })
	edges.Go(func() error { return p.report(n.admin.serve()) })
	return p, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, n.config.ShutdownTimeout)
		defer cancel()
		n.beginDrain(ctx)
		n.moving.Drain(ctx, n.config.ShutdownTimeout/2)
		err := errors.Join(n.hubs.shutdown(ctx), n.server.Shutdown(ctx), n.admin.shutdown(ctx), edges.Wait())
		stopIntake()
		err = errors.Join(err, takers.Wait())
		stopDrain()
		err = errors.Join(err, drain.Wait(), n.spilling.Close(ctx))
		stopEngine()
		err = errors.Join(err, movers.Wait())
		leaveCluster()
		err = errors.Join(err, cluster.Wait())
		n.cluster.close()
		return errors.Join(err, n.store.Close())
	}
}

// report ends the node after an error of a part. http.ErrServerClosed does not count as an error.
func (p *parts) report(err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	select {
	case p.failed <- err:
	default:
	}
	return err
}
