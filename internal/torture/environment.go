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

// masters is the number of Redis masters: the minimum of a Redis Cluster.
const masters = 3

// environment holds the servers that the nodes of a cluster share: a real PostgreSQL, a real Redis Cluster, and a
// proxied link from each node to each server.
//
// A Redis Cluster tells its clients the addresses of its servers, and clients would bypass a proxy. So each node has its
// own loopback address, on which its links to Redis listen with the servers' ports. The servers run with
// cluster-preferred-endpoint-type unknown-endpoint: they announce no address, and clients keep the address they dialed.
type environment struct {
	postgres *pgproc.Server
	redis    *redisproc.Cluster
	links    []*faultproxy.Link
	dir      string
}

func newEnvironment(ctx context.Context, dir string) (g *environment, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	g = &environment{dir: dir}
	if g.postgres, err = pgproc.Start(ctx, pgproc.Config{Keep: true}); err != nil {
		return nil, err
	}
	g.redis, err = redisproc.StartCluster(ctx, filepath.Join(dir, "redis"), masters, "--cluster-preferred-endpoint-type", "unknown-endpoint")
	if err != nil {
		return nil, errors.Join(err, g.postgres.Stop(), os.RemoveAll(g.postgres.Dir()))
	}
	return g, nil
}

// connectNode creates the links of a node and returns the flags with which the node uses them.
func (g *environment) connectNode(number int) (flags []string, err error) {
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

func (g *environment) link(name, listen, server string) (*faultproxy.Link, error) {
	l, err := faultproxy.New(name, listen, server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	g.links = append(g.links, l)
	return l, nil
}

// end stops all servers and moves the database's files to the directory of the run. g may be nil.
func (g *environment) end() error {
	if g == nil {
		return nil
	}
	for _, l := range g.links {
		l.Close()
	}
	err := errors.Join(g.redis.Kill(), g.postgres.Stop())
	return errors.Join(err, move(g.postgres.Dir(), filepath.Join(g.dir, "postgres")))
}

// move moves a directory, across file systems too.
func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	return errors.Join(os.CopyFS(to, os.DirFS(from)), os.RemoveAll(from))
}
