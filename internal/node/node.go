package node

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/hub/demo"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
	"github.com/esh3artech/esh3ar/internal/runtime/certfile"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/runtime/httpfast"
	"github.com/esh3artech/esh3ar/internal/runtime/netpoll"
	"github.com/esh3artech/esh3ar/internal/runtime/panics"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// node contains the parts of one running node, grouped by purpose. The file of each group creates it.
type node struct {
	config *Config
	identity
	store *Engine
	maintenance
	files      *diskguard.Retry // file system of the databases on this disk
	storeFiles int              // open files of the store at once; zero means pebble's default
	metrics    *metrics
	cluster    *cluster  // nil if the node runs alone
	spilling   *Spilling // nil if the store is embedded
	callers
	intake *ingest.Intake
	engine *delivery.Engine
	feed   *eventfeed.Feed
	load   *loadGauge
	moving moving
	front
	log *slog.Logger
}

// identity is what never changes about a running node.
type identity struct {
	id      string
	url     string // advertised to clients
	started time.Time
	proof   string // secret of the registry entry; a gateway that sends it has read the registry
}

// callers contains credentials, plans and rate limits.
type callers struct {
	account auth.Result
	plans   *auth.Plans
	quotas  *ratelimit.Limiters

	recipients *ratelimit.Recipients
	cursors    *opaque.Sealer
}

// front contains the servers and their limits, and the state of readiness.
type front struct {
	hubs        hubs
	watched     *gateway.ReadinessProbe // answers the health checks of gateways
	admin       *operatorServer
	cert        *certfile.Pair // nil for plain HTTP
	limiter     *connlimit.Limiter
	limits      limitWatch
	largeBodies func() int64 // memory that they hold, in bytes
	panics      *panics.Recorder
	sockets     *netpoll.Poller
	server      *httpfast.Server
	ready       atomic.Bool
	draining    drainSignal
}

// processLimits are the descriptor budget and the certificate of a process.
type processLimits struct {
	budget connlimit.Budget
	cert   *certfile.Pair // nil for plain HTTP
}

// open creates the parts from the bottom up. None of them runs yet.
func (c *Config) open(ctx context.Context, addr net.Addr, limits processLimits, log *slog.Logger) (*node, error) {
	if err := errors.Join(ensureDir(c.DataDir), c.checkVolume()); err != nil {
		return nil, err
	}
	if err := c.checkOtherStore(ctx); err != nil {
		return nil, err
	}
	n := &node{config: c, identity: identity{url: c.baseURL(addr), started: time.Now(), proof: rand.Text()}, log: log}
	n.cert, n.storeFiles = limits.cert, limits.budget.StoreFiles()
	n.panics = panics.New(log, "http", "fastpath", "netpoll")
	n.files = diskguard.NewRetry(vfs.Default, log)
	var err error
	if n.limiter, err = c.limiter(limits.budget, log); err != nil {
		return nil, err
	}
	m := newMetrics()
	n.metrics = m
	n.load = newLoadGauge(n)
	if err := n.openStore(ctx, m); err != nil {
		return nil, err
	}
	n.feed = eventfeed.New(n.store, eventfeed.Options{})
	n.openMaintenance()
	for _, step := range []func(context.Context) error{n.openAccounts, n.openPlans, n.openCluster, n.openSpill} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.store.Close())
		}
	}
	n.engine = delivery.New(breaker.Guard(n.store, n.breaker), delivery.Options{
		Rules: c.rules(), OnPush: m.pushed, OnRoute: m.routing, OnBreaker: n.deviceChanged, Remote: n.cluster.remote(),
	})
	n.openIntake(n.admission(m))
	handler, err := n.handler(m)
	if err != nil {
		return nil, errors.Join(err, n.abandon(ctx))
	}
	if n.admin, err = openAdmin(ctx, c.AdminListen, c.WriteTimeout, n.cert, operatorEdges{handler}, log); err != nil {
		return nil, errors.Join(err, n.abandon(ctx))
	}
	if n.sockets, err = netpoll.New(); err != nil {
		return nil, errors.Join(err, n.admin.close(), n.abandon(ctx))
	}
	n.sockets.WriteTimeout = c.WriteTimeout
	n.sockets.OnPanic = func(cause any) { n.panics.Record("netpoll", cause) }
	server := httpapi.NewServer(handler, log)
	server.ConnState, server.ConnContext = n.load.connection, connlimit.ConnContext
	n.server = httpfast.New(server, plainCall)
	n.server.OnPanic = func(cause any) { n.panics.Record("fastpath", cause) }
	m.watch(n)
	if err := c.noteStore(); err != nil {
		return nil, errors.Join(err, n.abandon(ctx))
	}
	return n, nil
}

func (n *node) openStore(ctx context.Context, m *metrics) error {
	var err error
	if n.store, err = n.openEngine(ctx, m); err != nil {
		return err
	}
	if n.id, err = nodeID(n.config); err != nil {
		return errors.Join(err, n.store.Close())
	}
	return nil
}

// nodeID returns --node-id, or the id in the data directory, which the first start creates.
func nodeID(c *Config) (string, error) {
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
	return retryUntilAnswered(ctx, n.log, func() error { return n.bootstrap(ctx) })
}

func (n *node) bootstrap(ctx context.Context) error {
	unlock, err := n.store.firstStart(ctx)
	if err != nil {
		return err
	}
	bootstrap := auth.Bootstrap{
		Store: n.store, Dir: n.config.DataDir, AdminToken: n.config.AdminToken, APIKey: n.config.APIKey, Now: time.Now,
	}
	n.account, err = bootstrap.Run(ctx)
	if err == nil {
		n.cursors, err = openCursors(ctx, n.store)
	}
	return errors.Join(err, unlock())
}

// openCursors creates the sealer of event ids and list cursors. Its secret is created once per store and never rotated, since clients
// keep event ids for days.
func openCursors(ctx context.Context, store esh3ar.AccountStore) (*opaque.Sealer, error) {
	history, err := HistoryOf(ctx, store)
	if err != nil {
		return nil, err
	}
	var made [opaque.SecretSize]byte
	_, _ = rand.Read(made[:]) // never fails
	secret, err := store.InitSetting(ctx, "cursor-secret", made[:])
	if err != nil {
		return nil, err
	}
	return opaque.New(secret, history)
}

func (n *node) openPlans(ctx context.Context) error {
	n.plans = auth.NewPlans(n.store)
	return retryUntilAnswered(ctx, n.log, func() error { return n.plans.Load(ctx) })
}

// handler creates the REST API, the hubs and the demo, which share one port.
func (n *node) handler(m *metrics) (edges, error) {
	numbers, err := phonenumber.NewParser(n.config.DefaultRegion)
	if err != nil {
		return edges{}, err
	}
	keys := auth.NewSharedKeys(breaker.GuardAccounts(n.store, n.breaker), time.Now, n.cluster.shared(), n.account.Ring)
	n.quotas, n.recipients = n.openQuotas(), ratelimit.NewRecipients(n.store, n.countLiveNodes())
	m.watchCaches(func() []cache.Stats { return append(keys.Stats(), n.cluster.cacheStats()...) }, n.cluster.shared())
	n.hubs.open(n, keys)
	n.openMoving()
	n.watched = &gateway.ReadinessProbe{Ready: n.readiness, Status: n.status, Proofs: []string{n.proof, n.config.GatewaySecret}, Now: time.Now}
	api := httpapi.New(httpapi.Config{
		Intake: n.intake, Store: n.store, Keys: keys, Plans: n.plans, Quotas: n.quotas, Recipients: n.recipients, LookupKey: n.knownKey, Cursors: n.cursors, Feed: n.feed, Draining: n.draining.Context, Admin: n.account.Admin,
		Credentials: n.account.Watch,
		Tokens:      n.account.Tokens, Phones: numbers, OnCanceled: n.engine.NotifyEndedUnacked, OnRequeued: n.engine.NotifyEnqueued, Breakers: n.breakerReport, Nodes: n.nodes, Drain: n.drainNode,
		Spill: n.spilling, Scaler: n.scalerReport(), Verifier: drainGuard{n.store, n.draining.Context}, Ready: n.readiness, Metrics: newMetricsHandler(m.registry),
		OnPanic: func(cause any) { n.panics.Record("http", cause) },
		Log:     n.log, Observe: m.request,
	})
	n.largeBodies = api.LargeBodies
	m.registry.MustRegister(credentialMetrics{keys})
	shares := []func() []fairshare.Stats{api.Shares, n.engine.Shares, n.feed.Shares, n.hubs.misrouted.Shares}
	m.registry.MustRegister(shareMetrics{shares})
	n.limits = limitWatch{log: n.log, now: time.Now}
	n.limits.node(n, keys)
	for _, stats := range shares {
		n.limits.sharesOf("esh3ar_share_refused_total", stats)
	}
	return edges{
		hubs: &n.hubs, watched: n.watched, cluster: publicKeys(&n.account), demo: demo.Demo("/demo/"), api: api, profiles: profiles(),
		panics: n.panics, apart: n.config.AdminListen != "",
	}, nil
}
