package torture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/esh3artech/esh3ar/internal/testkit/faultproxy"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// masters is how many servers the Redis Cluster has: as few as it can have.
const masters = 3

// ground is what the nodes of a cluster stand on: a real PostgreSQL, a real Redis Cluster, and links from each node to each
// of the servers.
//
// Clients of a Redis Cluster go where the servers say that they are, past any proxy. So each node has a loopback address
// of its own at which its links to Redis listen, on the very ports of the servers, and the servers name no address: by
// cluster-preferred-endpoint-type unknown-endpoint a client takes the address at which it asked.
type ground struct {
	postgres *pgproc.Server
	redis    *redisproc.Cluster
	links    []*faultproxy.Link
	dir      string
}

func newGround(ctx context.Context, dir string) (g *ground, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	g = &ground{dir: dir}
	if g.postgres, err = pgproc.Start(ctx, pgproc.Config{Keep: true}); err != nil {
		return nil, err
	}
	g.redis, err = redisproc.StartCluster(ctx, filepath.Join(dir, "redis"), masters, "--cluster-preferred-endpoint-type", "unknown-endpoint")
	if err != nil {
		return nil, errors.Join(err, g.postgres.Stop(), os.RemoveAll(g.postgres.Dir()))
	}
	return g, nil
}

// reach makes the links of a node, and gives the flags by which it uses them.
func (g *ground) reach(number int) (flags []string, err error) {
	name := fmt.Sprintf("link from node %d to ", number)
	database, err := g.link(name+"PostgreSQL", "127.0.0.1:0", g.postgres.Addr)
	if err != nil {
		return nil, err
	}
	var caches []string
	for i, s := range g.redis.Masters {
		_, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return nil, err
		}
		l, err := g.link(fmt.Sprintf("%sRedis %d", name, i+1), fmt.Sprintf("127.0.0.%d:%s", 1+number, port), s.Addr)
		if err != nil {
			return nil, err
		}
		caches = append(caches, l.Addr())
	}
	url := strings.Replace(g.postgres.URL("postgres"), g.postgres.Addr, database.Addr(), 1)
	return []string{"--database-url", url, "--redis-url", strings.Join(caches, ",")}, nil
}

func (g *ground) link(name, listen, server string) (*faultproxy.Link, error) {
	l, err := faultproxy.New(name, listen, server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	g.links = append(g.links, l)
	return l, nil
}

// end ends all of it. What the database held lies with the rest of the run then.
func (g *ground) end() error {
	if g == nil {
		return nil
	}
	for _, l := range g.links {
		l.Close()
	}
	err := errors.Join(g.redis.Kill(), g.postgres.Stop())
	return errors.Join(err, move(g.postgres.Dir(), filepath.Join(g.dir, "postgres")))
}

// move moves a folder, to another file system too.
func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	return errors.Join(os.CopyFS(to, os.DirFS(from)), os.RemoveAll(from))
}
