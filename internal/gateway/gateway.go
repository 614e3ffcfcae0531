package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/runtime/drain"
)

// Gateway is the load balancer. It implements http.Handler and works while Run runs.
type Gateway struct {
	opts      Options
	dispatch  *dispatch
	checker   *checker
	exchanges sync.Pool
	owners    *owners
	memory    memory
	large     *fairshare.Pool[owner] // slots of large calls
	panics    atomic.Uint64
	draining  atomic.Bool
	ended     context.Context //nolint:containedctx // cancelled when streams and tunnels must end
	end       context.CancelFunc
	tunnels   drain.Gate
}

// New returns a Gateway. An error names the invalid option.
func New(o Options) (*Gateway, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	g := &Gateway{opts: o, owners: newOwners(o.Proxies), memory: newMemory(o.Memory)}
	g.large = fairshare.New[owner](fairshare.Options{Name: "large_calls", Total: int64(o.Large), Guaranteed: 1})
	g.dispatch = newDispatch(&g.opts)
	g.checker = newChecker(&g.opts, g.dispatch, g.contain)
	g.exchanges.New = func() any { return &exchange{g: g} }
	g.ended, g.end = context.WithCancel(context.Background())
	g.dispatch.setNodes(fixedList(o.Nodes, o.Secret))
	return g, nil
}

// fixedList returns a list of nodes with their URLs as ids. Checks learn the nodes' real names.
func fixedList(urls []string, secret string) []membership.Node {
	list := make([]membership.Node, len(urls))
	for i, u := range urls {
		u = strings.TrimRight(u, "/")
		list[i] = membership.Node{ID: membership.NodeID(u), URL: u, Proof: secret}
	}
	return list
}

// Run checks the nodes and polls the registry until ctx is done. It returns nil.
func (g *Gateway) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return g.checker.run(ctx) })
	if g.opts.Registry != nil {
		l := registryPoller{opts: &g.opts, dispatch: g.dispatch, changed: g.checker.trigger}
		group.Go(func() error { return l.run(ctx) })
	}
	err := group.Wait()
	g.end()
	g.tunnels.Close()
	g.dispatch.closePools()
	return err
}

// Drain makes the gateway not ready, waits for DrainNotice so that load balancers in front notice, and ends streams and
// tunnels. Every response closes its connection from then on. Afterwards the server can be shut down.
func (g *Gateway) Drain(ctx context.Context) {
	g.draining.Store(true)
	ctx, cancel := context.WithTimeout(ctx, g.opts.DrainNotice)
	defer cancel()
	<-ctx.Done()
	g.end()
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := g.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.begin(w, r)
	defer x.finish()
	defer g.recoverRequest(r)
	if x.malformed() {
		return
	}
	switch path := r.URL.Path; path {
	case "/livez":
		x.text(http.StatusOK, `{"status":"ok"}`)
	case "/readyz":
		x.readyz()
	case "/metrics":
		x.metrics()
	default:
		if hub, negotiate := g.opts.HubOf(path); hub != "" {
			x.forwardHub(hub, negotiate)
			return
		}
		x.forwardREST()
	}
}

func (x *exchange) readyz() {
	switch {
	case x.g.draining.Load():
		x.answerProblem(overloaded, "this gateway is stopping")
	case !x.g.dispatch.ready():
		x.answerProblem(overloaded, "no node accepts calls")
	default:
		x.text(http.StatusOK, `{"status":"ready"}`)
	}
}

func (x *exchange) metrics() {
	x.route = "/metrics"
	if x.g.opts.Metrics == nil {
		x.answerProblem(notFound, "this gateway has no metrics")
		return
	}
	x.status = http.StatusOK
	x.g.opts.Metrics.ServeHTTP(x.w, x.r)
}
