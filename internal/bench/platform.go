package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// platform is the system under measurement: one node with its own store, or nodes that share PostgreSQL and Redis.
type platform struct {
	nodes    []*server
	postgres *pgproc.Server    // nil for a single node
	redis    *redisproc.Server // nil for a single node
	dir      string            // directory of Redis
}

// startPlatform starts the configured servers, then the nodes.
func startPlatform(ctx context.Context, o *Options) (p *platform, err error) {
	p = &platform{}
	flags := o.Flags
	if o.Nodes > 0 {
		if err := p.startShared(ctx); err != nil {
			return nil, errors.Join(err, p.close())
		}
		flags = append([]string{"--database-url", p.postgres.URL("postgres"), "--redis-url", p.redis.URL()}, flags...)
	}
	for range max(o.Nodes, 1) {
		node, err := startServer(ctx, o.Binary, flags)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.nodes = append(p.nodes, node)
	}
	return p, nil
}

func (p *platform) startShared(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp("", "esh3ar-bench-redis-*"); err != nil {
		return err
	}
	if p.redis, err = redisproc.StartSingle(ctx, filepath.Join(p.dir, "redis")); err != nil {
		return err
	}
	p.postgres, err = pgproc.Start(ctx, pgproc.Config{})
	return err
}

// secrets are those that the first node made.
func (p *platform) secrets() nodeproc.Secrets { return p.nodes[0].secrets }

func (p *platform) urls() (list []string) {
	for _, n := range p.nodes {
		list = append(list, n.node.URL)
	}
	return list
}

func (p *platform) addrs() (list []string) {
	for _, n := range p.nodes {
		list = append(list, n.addr)
	}
	return list
}

// close stops the nodes first: they still write to the servers.
func (p *platform) close() error {
	var errs []error
	for _, n := range p.nodes {
		errs = append(errs, n.close())
	}
	if p.postgres != nil {
		errs = append(errs, p.postgres.Stop())
	}
	if p.redis != nil {
		errs = append(errs, p.redis.Stop())
	}
	if p.dir != "" {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	return errors.Join(errs...)
}
