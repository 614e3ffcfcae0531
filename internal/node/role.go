package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// roleFlags say what a process is besides a node.
type roleFlags struct {
	Role      string       `name:"role" default:"node" enum:"node,all" help:"node, or all: with a gateway before the nodes."`
	Gateway   gatewayFlags `embed:"" prefix:"gateway-"`
	Autoscale bool         `name:"autoscale" help:"Start and stop nodes as their load asks for; of several that may, one decides. Needs --database-url and --redis-url."`
	Scale     ScaleFlags   `embed:"" prefix:"scale-"`
	Args      []string     `arg:"" optional:"" help:"With --autoscale, after --: flags of serve for the nodes that are started, or the command, in which {nodes} stands for the number."`
}

// check names the first flag whose value cannot work. plan is nil where nothing is scaled.
func (r *roleFlags) check(c *Config) (plan *ScalePlan, err error) {
	if r.Role == "all" {
		if err := errors.Join(checkListen(r.Gateway.Listen), r.Gateway.check()); err != nil {
			return nil, prefixed(err, "gateway-")
		}
	}
	switch {
	case r.Autoscale && (c.DatabaseURL == "" || c.RedisURL == ""):
		return nil, usage.Errorf("--autoscale: needs --database-url and --redis-url: one is where it is decided who scales, the other where nodes say how they are")
	case r.Autoscale:
		return r.Scale.Plan("scale-", r.Args)
	case len(r.Args) > 0:
		return nil, usage.Errorf("unexpected argument %s", r.Args[0])
	}
	return nil, nil
}

// prefixed makes what is wrong with a flag speak of the flag as this command calls it.
func prefixed(err error, prefix string) error {
	if err == nil {
		return nil
	}
	text := errors.New(strings.Replace(usage.OneLine(err).Error(), "--", "--"+prefix, 1))
	if _, mistaken := errors.AsType[usage.Error](err); mistaken {
		return usage.Wrap(text)
	}
	return text
}

// companions run in the process of a node and end before it does.
type companions struct {
	gateway  *gatewayProcess // nil: none
	listener net.Listener    // of it
	flags    *gatewayFlags
	scaling  *Scaling // nil: none
}

// openCompanions makes what the role asks for besides the node.
func (n *node) openCompanions(ctx context.Context, s Streams, plan *ScalePlan) (p *companions, err error) {
	p = &companions{flags: &n.config.Gateway}
	if n.config.Role == "all" {
		if err := n.openGateway(ctx, p); err != nil {
			return nil, err
		}
		fmt.Fprintf(s.Out, "Gateway on %s://%s\n", n.config.scheme(), p.listener.Addr())
	}
	if plan == nil {
		return p, nil
	}
	p.scaling, err = plan.Open(ScaleParts{
		Holder: NewHolder(), Store: n.store.Shared, Registry: n.cluster.redis.Registry(), Dir: n.config.DataDir, Host: n.host(),
		Env: []string{"ESH3AR_DATABASE_URL=" + n.config.DatabaseURL, "ESH3AR_REDIS_URL=" + n.config.RedisURL}, Log: n.log, Output: s.Err,
	})
	switch {
	case err == nil:
		n.cluster.scaler = p.scaling.scaler
	case p.listener != nil:
		err = errors.Join(err, p.listener.Close())
	}
	return p, err
}

// openGateway puts a gateway before the nodes that this one knows: those of its registry, and itself as long as that lists
// nobody.
func (n *node) openGateway(ctx context.Context, p *companions) (err error) {
	m := newGatewayMetrics()
	o := p.flags.options(m)
	o.Nodes, o.Secret, o.Log = []string{n.url}, n.proof, n.log
	if o.Proxies, err = n.config.proxies(); err != nil {
		return err
	}
	if n.cluster != nil {
		o.Registry = n.cluster.redis.Registry()
	}
	if p.listener, err = listenOn(ctx, p.flags.Listen); err != nil {
		return prefixed(err, "gateway-")
	}
	g, err := gateway.New(o)
	if err != nil {
		return errors.Join(err, p.listener.Close())
	}
	p.gateway = newGatewayProcess(g, m, n.limiter, n.log)
	p.gateway.cert = n.cert
	return nil
}

// host is where the node is reached, and so where its children are.
func (n *node) host() string {
	host, _, err := net.SplitHostPort(n.config.Listen)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// start runs the companions; the function it returns ends them: the gateway takes no more calls and has those in flight answered,
// the nodes that were started drain.
func (p *companions) start(ctx context.Context) (failed <-chan error, stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fault := make(chan error, 1)
	var group errgroup.Group
	run := func(part func(context.Context) error) {
		group.Go(func() error {
			err := part(ctx)
			if err != nil {
				select {
				case fault <- err:
				default: // somebody was faster
				}
			}
			return err
		})
	}
	if p.gateway != nil {
		run(func(ctx context.Context) error { return p.gateway.run(ctx, p.listener, p.flags) })
	}
	if p.scaling != nil {
		run(p.scaling.Run)
	}
	return fault, func() error {
		cancel()
		return group.Wait()
	}
}
