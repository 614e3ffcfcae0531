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

// roleFlags select the sidecars of a node: a gateway and an autoscaler in the same process.
type roleFlags struct {
	Role      string       `name:"role" default:"node" enum:"node,all" help:"node, or all for a node and a gateway in one process."`
	Gateway   gatewayFlags `embed:"" prefix:"gateway-"`
	Autoscale bool         `name:"autoscale" help:"Start and stop nodes by their load. If several processes may, one of them decides. Needs --database-url and --redis-url."`
	Scale     ScaleFlags   `embed:"" prefix:"scale-"`
	Args      []string     `arg:"" optional:"" help:"With --autoscale, after --: flags of serve for the started nodes, or the command, in which {nodes} is replaced by their number."`
}

// check returns a usage error for the first invalid flag. plan is nil without --autoscale.
func (r *roleFlags) check(c *Config) (plan *ScalePlan, err error) {
	if r.Role == "all" {
		if err := errors.Join(checkListen(r.Gateway.Listen), r.Gateway.check()); err != nil {
			return nil, prefixed(err, "gateway-")
		}
	}
	switch {
	case r.Autoscale && (c.DatabaseURL == "" || c.RedisURL == ""):
		return nil, usage.Errorf("--autoscale: needs --database-url and --redis-url: the database holds the lease of the deciding scaler, and nodes announce their load in Redis")
	case r.Autoscale:
		return r.Scale.Plan("scale-", r.Args)
	case len(r.Args) > 0:
		return nil, usage.Errorf("unexpected argument %s", r.Args[0])
	}
	return nil, nil
}

// prefixed returns err with prefix inserted into the name of the flag in its text.
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

// sidecars run in the process of a node and stop before it.
type sidecars struct {
	gateway  *gatewayProcess // nil without --role all
	listener net.Listener    // of the gateway
	flags    *gatewayFlags
	scaling  *Scaling // nil without --autoscale
}

// openSidecars creates the sidecars that the flags ask for.
func (n *node) openSidecars(ctx context.Context, s Streams, plan *ScalePlan) (*sidecars, error) {
	var p *sidecars
	var err error
	p = &sidecars{flags: &n.config.Gateway}
	if n.config.Role == "all" {
		if err := n.openGateway(ctx, p); err != nil {
			return nil, err
		}
		fmt.Fprintf(s.Out, "Gateway on %s://%s\n", n.config.scheme(), p.listener.Addr())
	}
	if plan == nil {
		return p, nil
	}
	p.scaling, err = plan.Open(ScaleDependencies{
		Holder: NewHolder(), Store: n.store.Shared, Registry: n.cluster.redis.Registry(), Dir: n.config.DataDir, Host: n.host(),
		Env: []string{"ESH3AR_DATABASE_URL=" + n.config.DatabaseURL, "ESH3AR_REDIS_URL=" + n.config.RedisURL}, Log: n.log, Output: s.Err,
	})
	if err == nil {
		n.cluster.scaler = p.scaling.scaler
	} else if p.listener != nil {
		err = errors.Join(err, p.listener.Close())
	}
	return p, err
}

// openGateway creates a gateway in front of the nodes of the registry. Until the registry lists a node, it uses this one.
func (n *node) openGateway(ctx context.Context, p *sidecars) error {
	var err error
	m := newGatewayMetrics()
	o := p.flags.options(m)
	o.Nodes = []string{n.url}
	o.Secret = n.proof
	o.Log = n.log
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

// host returns the host of --listen, which child processes listen on too.
func (n *node) host() string {
	host, _, err := net.SplitHostPort(n.config.Listen)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// start runs the sidecars. The returned function stops them: the gateway refuses new calls and finishes those in flight, and the
// nodes that the autoscaler started drain.
func (p *sidecars) start(ctx context.Context) (<-chan error, func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fault := make(chan error, 1)
	var group errgroup.Group
	run := func(part func(context.Context) error) {
		group.Go(func() error {
			err := part(ctx)
			if err != nil {
				select {
				case fault <- err:
				default: // another part has failed first
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
