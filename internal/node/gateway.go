package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/runtime/certfile"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/usage"
	"github.com/esh3artech/esh3ar/signalr"
)

type GatewayConfig struct {
	Nodes        []string `placeholder:"URL,…" help:"URLs of the nodes. With --redis-url they are used until Redis lists nodes."`
	RedisURL     string   `name:"redis-url" help:"Redis in which the nodes announce themselves: redis://…, or the comma-separated addresses of a Redis Cluster."`
	Cluster      string   `placeholder:"ID" help:"Cluster of that Redis (default: the one whose keys are given)."`
	ClusterKeys  []string `name:"cluster-keys" placeholder:"KEY,…" help:"Public keys that verify entries in Redis; the command keys list prints them (default: read from --database-url or --nodes)."`
	DatabaseURL  string   `name:"database-url" help:"PostgreSQL of the nodes, used only to read the keys of the cluster."`
	Secret       string   `name:"gateway-secret" placeholder:"TEXT" help:"The --gateway-secret of the nodes of --nodes, which report their load for it. Nodes listed in Redis need none."`
	LogLevel     string   `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat    string   `name:"log-format" default:"text" enum:"text,json" help:"Format of the log: text or json."`
	AdminListen  string   `name:"admin-listen" placeholder:"ADDRESS" help:"Separate address for /metrics and /debug/pprof. Without it --listen serves /metrics."`
	gatewayFlags `embed:""`
	tlsFlags     `embed:""`
	CAFlags      `embed:""`

	connectionFlags `embed:""`
}

// gatewayFlags are the flags of a gateway in a process of its own or in that of a node.
type gatewayFlags struct {
	Listen          string        `name:"listen" default:"127.0.0.1:8000" help:"Address of the gateway; port 0 picks a free one."`
	ProxyWebSockets bool          `name:"proxy-websockets" help:"Forward WebSockets of clients that skip negotiation. Other clients are redirected to their node."`
	ForwardAdmin    bool          `name:"forward-admin" help:"Forward the routes of operators: /admin, and /metrics and profiles of the nodes."`
	Connections     int           `name:"connections" default:"2500" help:"Connections to each node, at most."`
	Waiting         int           `name:"waiting" default:"10000" help:"Calls that may wait for a connection; further ones are answered 503."`
	QueueTimeout    time.Duration `name:"queue-timeout" default:"1s" help:"How long a call waits for a connection before it is answered 503."`
	ResponseTimeout time.Duration `name:"response-timeout" default:"30s" help:"How long a call may take after its body has arrived, including retries."`
	DrainNotice     time.Duration `name:"drain-notice" default:"2s" help:"How long only /readyz changes after SIGTERM, so that load balancers notice."`
	ShutdownTimeout time.Duration `name:"shutdown-timeout" default:"20s" help:"Time to stop after SIGTERM."`
}

// gatewayGCPercent trades memory for CPU: the live heap of a gateway is a few MiB, so a high value costs little memory. GOGC in the
// environment overrides it.
const gatewayGCPercent = 800

// Run checks the configuration, then runs a gateway until ctx ends or a part fails.
func (c *GatewayConfig) Run(ctx context.Context, s Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	log := NewLog(s, c.LogLevel, c.LogFormat)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gatewayGCPercent)
	}
	files, err := openFiles()
	if err != nil {
		return err
	}
	limiter, err := c.limiter(connlimit.GatewayBudget(files), log)
	if err != nil {
		return err
	}
	cert, err := c.tlsFlags.open(log)
	if err != nil {
		return err
	}
	if err := c.Trust(); err != nil {
		return err
	}
	listener, err := listenOn(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	p, err := c.open(ctx, limiter, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.cert = cert
	if c.AdminListen != "" {
		if p.admin, err = openAdmin(ctx, c.AdminListen, c.WriteTimeout, cert, p.operatorHandler(), log); err != nil {
			return err
		}
		p.server.Handler = withoutOperators(p.server.Handler)
	}
	fmt.Fprintf(s.Out, "Gateway on %s://%s\n", c.scheme(), listener.Addr())
	return p.run(ctx, listener, &c.gatewayFlags)
}

// check returns a usage error for the first invalid flag.
func (c *GatewayConfig) check() error {
	if err := checkListen(c.Listen); err != nil {
		return err
	}
	if len(c.Nodes) == 0 && c.RedisURL == "" {
		return usage.Errorf("--nodes or --redis-url: give one of them, so that the gateway finds the nodes")
	}
	if c.Cluster != "" && c.RedisURL == "" {
		return usage.Errorf("--cluster: needs --redis-url")
	}
	if err := checkGatewaySecret(c.Secret); err != nil {
		return err
	}
	for _, node := range c.Nodes {
		if err := gateway.CheckURL(node); err != nil {
			return usage.Errorf("--nodes: %w", err)
		}
	}
	if err := c.checkTrust(); err != nil {
		return err
	}
	if err := c.connectionFlags.check(); err != nil {
		return err
	}
	if err := c.tlsFlags.check(); err != nil {
		return err
	}
	if c.AdminListen != "" {
		if err := checkAddress("--admin-listen", c.AdminListen); err != nil {
			return err
		}
	}
	return c.gatewayFlags.check()
}

// checkTrust returns a usage error for the first invalid flag about Redis and the keys that verify its entries.
func (c *GatewayConfig) checkTrust() error {
	if c.DatabaseURL != "" {
		if err := CheckDatabase(c.DatabaseURL); err != nil {
			return err
		}
	}
	if _, err := keyring.ParsePublic(c.ClusterKeys); err != nil {
		return usage.Errorf("--cluster-keys: %w", err)
	}
	if c.RedisURL == "" {
		return nil
	}
	if err := redis.CheckURL(c.RedisURL); err != nil {
		return usage.Errorf("--redis-url: %w", err)
	}
	if len(c.ClusterKeys) == 0 && len(c.Nodes) == 0 && c.DatabaseURL == "" {
		return usage.Wrap(errNoKeySource)
	}
	return nil
}

// leastSecret is the minimum length of a gateway secret, in bytes.
const leastSecret = 16

// checkGatewaySecret returns a usage error for a short or unprintable secret. An empty secret is valid and means none.
func checkGatewaySecret(secret string) error {
	if secret != "" && (len(secret) < leastSecret || strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c >= 0x7f })) {
		return usage.Errorf("--gateway-secret: must be at least %d visible ASCII characters", leastSecret)
	}
	return nil
}

func (c *gatewayFlags) check() error {
	if c.Connections < 2 || c.Connections > 18_000 {
		return usage.Errorf("--connections: must be 2 to 18000")
	}
	if c.Waiting < 1 {
		return usage.Errorf("--waiting: must be at least 1")
	}
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{
		{"--queue-timeout", c.QueueTimeout},
		{"--response-timeout", c.ResponseTimeout},
		{"--drain-notice", c.DrainNotice},
		{"--shutdown-timeout", c.ShutdownTimeout},
	} {
		if flag.value <= 0 {
			return usage.Errorf("%s: must be longer than 0", flag.name)
		}
	}
	return nil
}

// gatewayProcess contains the parts of a running gateway.
type gatewayProcess struct {
	gateway *gateway.Gateway
	nodes   *discovery // nil for a gateway with a fixed list, or in the process of a node
	metrics *gatewayMetrics
	limiter *connlimit.Limiter
	limits  limitWatch
	cert    *certfile.Pair  // nil: plain HTTP
	admin   *operatorServer // nil without --admin-listen
	server  *http.Server
	log     *slog.Logger
}

func (c *GatewayConfig) open(ctx context.Context, limiter *connlimit.Limiter, log *slog.Logger) (*gatewayProcess, error) {
	m := newGatewayMetrics()
	o := c.options(m)
	o.Nodes = c.Nodes
	o.Secret = c.Secret
	o.Log = log
	var err error
	if o.Proxies, err = c.proxies(); err != nil {
		return nil, err
	}
	var nodes *discovery
	if c.RedisURL != "" {
		source, err := c.keySource(ctx, log)
		if err != nil {
			return nil, err
		}
		if nodes, err = discover(ctx, c.RedisURL, c.Cluster, source, log); err != nil {
			return nil, err
		}
		o.Registry = nodes
	}
	g, err := gateway.New(o)
	if err != nil {
		return nil, err
	}
	m.registry.MustRegister(connectionMetrics{limiter})
	p := newGatewayProcess(g, m, limiter, log)
	p.nodes = nodes
	p.limits.connections(limiter)
	return p, nil
}

// options returns the options that the flags set; the caller adds the nodes.
func (f *gatewayFlags) options(m *gatewayMetrics) gateway.Options {
	return gateway.Options{
		HubOf: hub.PathOf, Tunnels: f.ProxyWebSockets, ForwardAdmin: f.ForwardAdmin, NodeOf: signalr.NodeOf, Rules: balance.Rules{Slots: f.Connections},
		ResponseTimeout: f.ResponseTimeout, Waiting: f.Waiting, QueueTimeout: f.QueueTimeout, DrainNotice: f.DrainNotice,
		Metrics: m.handler(), Observe: m.request,
	}
}

func newGatewayProcess(g *gateway.Gateway, m *gatewayMetrics, limiter *connlimit.Limiter, log *slog.Logger) *gatewayProcess {
	m.watch(g)
	server := httpapi.NewServer(g, log)
	server.ConnContext = connlimit.ConnContext
	p := &gatewayProcess{gateway: g, metrics: m, limiter: limiter, limits: limitWatch{log: log, now: time.Now}, server: server, log: log}
	p.limits.gateway(g)
	return p
}

// run serves until ctx ends, then shuts down in order: not ready, streams closed, calls in flight answered.
func (p *gatewayProcess) run(ctx context.Context, listener net.Listener, c *gatewayFlags) error {
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	var parts errgroup.Group
	parts.Go(func() error { return p.gateway.Run(watching) })
	parts.Go(func() error { return p.limits.run(watching) })
	failed := make(chan error, 1)
	parts.Go(func() error {
		conns := p.limiter.Listen(listener)
		if p.cert == nil { // with TLS the guard would see ciphertext
			conns = gateway.GuardHeads(conns)
		}
		err := p.server.Serve(secured(conns, p.cert))
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
		return nil
	})
	if p.admin != nil {
		parts.Go(p.admin.serve)
	}
	var err error
	select {
	case <-ctx.Done():
		p.log.Info("stopping")
	case err = <-failed:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	p.gateway.Drain(stopping)
	err = errors.Join(err, p.server.Shutdown(stopping))
	if p.admin != nil {
		err = errors.Join(err, p.admin.shutdown(stopping))
	}
	stopWatching()
	return errors.Join(err, parts.Wait())
}

func (p *gatewayProcess) close() {
	if p.nodes != nil {
		p.nodes.close()
	}
}

// operatorHandler returns the handler of --admin-listen.
func (p *gatewayProcess) operatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.metrics.handler())
	mux.Handle(profilesPath, profiles())
	return mux
}

// withoutOperators returns h without the routes that --admin-listen serves.
func withoutOperators(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
