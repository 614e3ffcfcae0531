package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/account"
	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/dashboard"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/intake"
	"github.com/esh3artech/esh3ar/internal/notify"
	"github.com/esh3artech/esh3ar/internal/quota"
)

// node is the graph of one running node.
type node struct {
	config *serveCmd
	id     string
	url    string
	store  *engine
	upkeep
	cluster  *cluster  // nil: this node is alone
	spilling *spilling // nil: the store is this node's own
	started  time.Time
	account  account.Result
	plans    *account.Plans
	quotas   *quota.Book
	intake   *intake.Intake
	engine   *delivery.Engine
	feed     *notify.Feed
	hubs     hubs
	vitals   *gauge
	moving   moving
	watched  *gateway.Watched // by gateways
	server   *http.Server
	ready    atomic.Bool

	draining context.Context //nolint:containedctx // a signal: streams end
	drain    context.CancelFunc
	log      *slog.Logger
}

// open builds the graph from the bottom up. Nothing of it works yet.
func (c *serveCmd) open(ctx context.Context, addr net.Addr, log *slog.Logger) (*node, error) {
	if err := ensureDir(c.DataDir); err != nil {
		return nil, err
	}
	n := &node{config: c, url: c.baseURL(addr), started: time.Now(), log: log}
	m := newMetrics()
	n.vitals = newGauge(n)
	if err := n.openStore(ctx, m); err != nil {
		return nil, err
	}
	n.feed = notify.New(n.store, notify.Options{})
	n.openUpkeep()
	for _, step := range []func(context.Context) error{n.openAccounts, n.openPlans, n.openCluster, n.openSpill} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.store.Close())
		}
	}
	n.engine = delivery.New(breaker.Guard(n.store, n.breaker), delivery.Options{
		Rules: c.rules(), OnPush: m.pushed, OnBreaker: n.deviceChanged, Remote: n.cluster.remote(),
	})
	n.openIntake(intake.Options{Memory: c.QueueMiB << 20, OnCommit: func(info intake.CommitInfo) {
		m.committed(info)
		n.vitals.committed(info)
	}, Rate: n.config.CapacityRate, MemoryUsed: func() float64 { return n.vitals.load().Memory }})
	n.draining, n.drain = context.WithCancel(context.Background())
	handler, err := n.handler(m)
	if err != nil {
		return nil, errors.Join(err, n.abandon(ctx))
	}
	n.server = httpapi.NewServer(handler, log)
	n.server.ConnState = n.vitals.connection
	m.watch(n)
	return n, nil
}

func (n *node) openStore(ctx context.Context, m *metrics) (err error) {
	if n.store, err = n.openEngine(ctx, m); err != nil {
		return err
	}
	if n.id, err = nodeID(n.config); err != nil {
		return errors.Join(err, n.store.Close())
	}
	return nil
}

// nodeID is the configured name, or one made once and kept.
func nodeID(c *serveCmd) (string, error) {
	if c.NodeID != "" {
		return c.NodeID, nil
	}
	path := filepath.Join(c.DataDir, "node-id")
	if text, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	id := uuid.Must(uuid.NewV7()).String()
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}

func (n *node) openAccounts(ctx context.Context) error {
	return patiently(ctx, func() error { return n.bootstrap(ctx) })
}

func (n *node) bootstrap(ctx context.Context) error {
	unlock, err := n.store.firstStart(ctx)
	if err != nil {
		return err
	}
	bootstrap := account.Bootstrap{
		Store: n.store, Dir: n.config.DataDir, AdminToken: n.config.AdminToken, APIKey: n.config.APIKey, Now: time.Now,
	}
	n.account, err = bootstrap.Run(ctx)
	return errors.Join(err, unlock())
}

func (n *node) openPlans(ctx context.Context) error {
	n.plans = account.NewPlans(n.store)
	return patiently(ctx, func() error { return n.plans.Load(ctx) })
}

// handler joins the REST API, the hub and the demo on one port.
func (n *node) handler(m *metrics) (http.Handler, error) {
	numbers, err := account.NewPhones(n.config.DefaultRegion)
	if err != nil {
		return nil, err
	}
	keys := account.NewSharedKeys(breaker.GuardAccounts(n.store, n.breaker), time.Now, n.cluster.shared())
	n.quotas = n.openQuotas()
	m.watchCaches(func() []cache.Stats { return append(keys.Stats(), n.cluster.cacheStats()...) }, n.cluster.shared())
	n.hubs.open(n, keys)
	n.openMoving()
	n.watched = &gateway.Watched{Ready: n.readiness, Word: n.word, Now: time.Now}
	return edges{hubs: &n.hubs, watched: n.watched, demo: dashboard.Demo("/demo/"), api: httpapi.New(httpapi.Config{
		Intake: n.intake, Store: n.store, Keys: keys, Plans: n.plans, Quotas: n.quotas, Feed: n.feed, Draining: n.draining, Admin: n.account.Admin,
		Tokens: n.account.Tokens, Phones: numbers, Lapsed: n.engine.Lapsed, Entered: n.engine.Entered, Breakers: n.breakerReport, Nodes: n.nodes, Drain: n.drainNode,
		Spill: n.spilling, Verifier: untilDrained{n.store, n.draining}, Ready: n.readiness, Metrics: m.handler(),
		Log: n.log, Observe: m.request,
	})}, nil
}

// edges share a port. They are told apart by hand: http.ServeMux answers a path with a slash too many by a redirect, which
// turns a POST into a GET.
type edges struct {
	hubs               *hubs
	watched, demo, api http.Handler
}

func (e edges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == hub.MobilePath, strings.HasPrefix(path, hub.MobilePath+"/"):
		e.hubs.phones.ServeHTTP(w, r)
	case path == hub.BusinessPath, strings.HasPrefix(path, hub.BusinessPath+"/"):
		e.hubs.businesses.ServeHTTP(w, r)
	case path == "/readyz" && r.Header.Get(gateway.MarkHeader) != "":
		e.watched.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/demo/"):
		e.demo.ServeHTTP(w, r)
	case path == "/demo":
		http.Redirect(w, r, "/demo/", http.StatusMovedPermanently)
	default:
		e.api.ServeHTTP(w, r)
	}
}

func (n *node) readiness() error {
	if !n.ready.Load() {
		return errors.New("this node is starting or stopping")
	}
	return nil
}

// run starts the parts, prints what to do, and ends them in order when ctx ends or the store fails.
func (n *node) run(ctx context.Context, listener net.Listener, beside *companions, s streams) error {
	fmt.Fprintln(s.out, n.store.opened())
	parts, stopParts := n.start(listener)
	n.announce(s)
	n.ready.Store(true)
	astray, stopBeside := beside.start(ctx)
	var err error
	select {
	case <-ctx.Done():
		n.log.Info("stopping")
	case <-n.store.failed():
		// What the disk holds is unknown now; another write or a clean close could only make it worse.
		return esh3ar.Errorf(esh3ar.StoreFailed, "stopped: %w", n.store.fault())
	case <-n.spilling.failed():
		return esh3ar.Errorf(esh3ar.StoreFailed, "stopped: spill: %w", n.spilling.kept.Fault())
	case err = <-parts.failed:
	case err = <-astray:
	}
	return errors.Join(err, stopBeside(), stopParts(context.WithoutCancel(ctx)))
}

// abandon closes what was opened and never run.
func (n *node) abandon(ctx context.Context) error {
	n.cluster.close()
	return errors.Join(n.spilling.close(ctx), n.store.Close())
}

// parts are the running parts of a node.
type parts struct{ failed chan error }

// start runs everything that has a Run. The function it returns is the order of shutdown: gateways told, no new calls, phones moved
// away, calls in flight answered, their buffers committed, the spill drained as far as the database takes it, what phones acknowledged settled and told, the store closed.
func (n *node) start(listener net.Listener) (*parts, func(context.Context) error) {
	p := &parts{failed: make(chan error, 1)}
	var edges, takers, drain, movers, cluster errgroup.Group
	intakeCtx, stopIntake := context.WithCancel(context.Background())
	drainCtx, stopDrain := context.WithCancel(context.Background())
	engineCtx, stopEngine := context.WithCancel(context.Background())
	clusterCtx, leaveCluster := context.WithCancel(context.Background())
	cluster.Go(func() error { return n.cluster.run(clusterCtx, n.engine) })
	movers.Go(func() error { return n.engine.Run(engineCtx) })
	movers.Go(func() error { return n.janitor.Run(engineCtx) })
	movers.Go(func() error { return n.vitals.run(engineCtx) })
	movers.Go(func() error { return n.plans.Run(engineCtx) })
	movers.Go(func() error { return n.moving.Run(engineCtx) })
	movers.Go(func() error { return n.drainOnRequest(engineCtx) })
	movers.Go(func() error { return n.quotas.Run(engineCtx) })
	takers.Go(func() error { return n.intake.Run(intakeCtx) })
	drain.Go(func() error { return n.spilling.run(drainCtx) })
	movers.Go(func() error { return n.feed.Run(engineCtx) })
	edges.Go(func() error { return p.report(n.hubs.run()) })
	edges.Go(func() error { return p.report(n.server.Serve(listener)) })
	return p, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, n.config.StopWithin)
		defer cancel()
		n.retire(ctx)
		n.moving.Drain(ctx, n.config.StopWithin/2)
		err := errors.Join(n.hubs.shutdown(ctx), n.server.Shutdown(ctx), edges.Wait())
		stopIntake()
		err = errors.Join(err, takers.Wait())
		stopDrain()
		err = errors.Join(err, drain.Wait(), n.spilling.close(ctx))
		stopEngine()
		err = errors.Join(err, movers.Wait())
		leaveCluster()
		err = errors.Join(err, cluster.Wait())
		n.cluster.close()
		return errors.Join(err, n.store.Close())
	}
}

// report tells the node that a part ended on its own.
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

// announce prints the secrets of a first start, once, and what to do next.
func (n *node) announce(s streams) {
	if n.account.First {
		fmt.Fprintf(s.out, "First start: these secrets are shown once and kept in %s\n  admin token  %s\n  business     %s\n  API key      %s\n",
			filepath.Join(n.config.DataDir, account.BootstrapFile), n.account.Secrets.AdminToken, n.account.Secrets.BusinessID, n.account.Secrets.APIKey)
	}
	token, err := n.sampleToken()
	if err != nil {
		n.log.Error("make the demo's token", "error", err)
	}
	nextSteps{self: self(), url: n.url, dataDir: n.config.DataDir, token: token}.print(s.out)
}

func (n *node) sampleToken() (string, error) {
	numbers, err := account.NewPhones(n.config.DefaultRegion)
	if err != nil {
		return "", err
	}
	phone, _ := numbers.Parse(samplePhone)
	token, _, err := n.account.Tokens.Mint(phone, "demo", 0)
	return token, err
}
