package redisproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster.
type Cluster struct {
	Masters  []*Server // each with an equal share of the slots, in their order
	Replicas []*Server // of the masters in turn

	links map[*Server]string // the port on which the others reach it
}

// StartCluster starts masters without replicas and waits until all of them say that the cluster is whole, as long as ctx
// allows. Each keeps its files in a folder of its own under dir.
func StartCluster(ctx context.Context, dir string, masters int, flags ...string) (*Cluster, error) {
	return StartReplicated(ctx, dir, masters, 0, flags...)
}

// StartReplicated is StartCluster with so many replicas for each master; one of them takes over when its master dies.
func StartReplicated(ctx context.Context, dir string, masters, replicas int, flags ...string) (*Cluster, error) {
	c := &Cluster{links: map[*Server]string{}}
	err := c.launch(ctx, dir, masters, masters*(1+replicas), flags)
	if err == nil {
		err = c.join(ctx)
	}
	if err == nil {
		err = c.Await(ctx)
	}
	if err == nil {
		err = c.replicate(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start redis cluster: %w", err), c.Kill())
	}
	return c, nil
}

func (c *Cluster) launch(ctx context.Context, dir string, masters, servers int, flags []string) error {
	for i := range servers {
		var link string
		s, err := start(ctx, filepath.Join(dir, strconv.Itoa(i)), func(ports []int) []string {
			link = strconv.Itoa(ports[1]) // said explicitly: by default it is the port + 10000, which may be taken
			return append(clusterFlags(link), flags...)
		}, 2)
		if err != nil {
			return err
		}
		c.links[s] = link
		if i < masters {
			c.Masters = append(c.Masters, s)
		} else {
			c.Replicas = append(c.Replicas, s)
		}
	}
	return nil
}

func clusterFlags(link string) []string {
	return []string{
		"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", link,
		"--cluster-node-timeout", "2000", // ms: soon enough for tests, and above the pauses of a busy machine
		"--cluster-require-full-coverage", "no", // the slots of the masters that live go on
	}
}

// join shares the slots out and brings the servers together.
func (c *Cluster) join(ctx context.Context) error {
	n := len(c.Masters)
	for i, s := range c.Masters {
		if _, err := s.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/n), strconv.Itoa(slots*(i+1)/n-1)); err != nil {
			return err
		}
		if _, err := s.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil { // no two start with the same
			return err
		}
	}
	for _, s := range c.Servers()[1:] {
		host, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return err
		}
		if _, err := c.Masters[0].Do(ctx, "CLUSTER", "MEET", host, port, c.links[s]); err != nil {
			return err
		}
	}
	return nil
}

// replicate gives each replica its master, the masters in turn, and waits until it follows.
func (c *Cluster) replicate(ctx context.Context) error {
	for i, s := range c.Replicas {
		id, err := c.Masters[i%len(c.Masters)].text(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		if _, err := s.Do(ctx, "CLUSTER", "REPLICATE", id); err != nil {
			return err
		}
	}
	return until(ctx, func() error {
		for _, s := range c.Replicas {
			info, err := s.text(ctx, "INFO", "replication")
			if err != nil {
				return err
			}
			if !strings.Contains(info, "master_link_status:up") {
				return fmt.Errorf("%s does not follow its master", s.Addr)
			}
		}
		return nil
	})
}

// Await waits until every server knows all others and says that the cluster is whole, as after a restart.
func (c *Cluster) Await(ctx context.Context) error {
	want := []string{
		"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", slots), fmt.Sprintf("cluster_known_nodes:%d", len(c.Servers())),
	}
	return until(ctx, func() error {
		for _, s := range c.Servers() {
			info, err := s.text(ctx, "CLUSTER", "INFO")
			if err != nil {
				return err
			}
			for _, line := range want {
				if !strings.Contains(info, line+"\r\n") {
					return fmt.Errorf("%s does not say %s", s.Addr, line)
				}
			}
		}
		return nil
	})
}

// until asks again and again; when ctx ends, the newest answer is the error.
func until(ctx context.Context, done func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// Servers are all of them, the masters first.
func (c *Cluster) Servers() []*Server {
	return append(append(make([]*Server, 0, len(c.Masters)+len(c.Replicas)), c.Masters...), c.Replicas...)
}

// Addrs are where all of them listen.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, s := range c.Servers() {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// URL is what --redis-url takes.
func (c *Cluster) URL() string { return strings.Join(c.Addrs(), ",") }

// Kill ends all of them as a crash does.
func (c *Cluster) Kill() error {
	var errs []error
	for _, s := range c.Servers() {
		errs = append(errs, s.Kill())
	}
	return errors.Join(errs...)
}

// Restart starts all of them anew, and waits until the cluster is whole.
func (c *Cluster) Restart(ctx context.Context) error {
	for _, s := range c.Servers() {
		if err := s.Restart(ctx); err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// Flush deletes everything that the masters hold.
func (c *Cluster) Flush(ctx context.Context) error {
	var errs []error
	for _, s := range c.Masters {
		errs = append(errs, s.Flush(ctx))
	}
	return errors.Join(errs...)
}
