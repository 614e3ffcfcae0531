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

// slots is the number of hash slots of a Redis Cluster.
const slots = 16384

// Cluster is a Redis Cluster.
type Cluster struct {
	Masters  []*Server // in the order of their slot ranges, which have equal sizes
	Replicas []*Server // replicas of the masters, round robin

	links map[*Server]string // cluster bus port of each server
}

// StartCluster starts masters without replicas and waits until all report a complete cluster or ctx ends. Each has its
// own directory below dir.
func StartCluster(ctx context.Context, dir string, masters int, flags ...string) (*Cluster, error) {
	return StartReplicated(ctx, dir, masters, 0, flags...)
}

// StartReplicated is StartCluster with the given number of replicas per master; a replica takes over when its master
// fails.
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
			link = strconv.Itoa(ports[1]) // set explicitly: the default, port + 10000, may be in use
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
		"--cluster-node-timeout", "2000", // ms; short for tests, but longer than the pauses of a busy machine
		"--cluster-require-full-coverage", "no", // the slots of the remaining masters stay available
	}
}

// join shares the slots out and brings the servers together.
func (c *Cluster) join(ctx context.Context) error {
	n := len(c.Masters)
	for i, s := range c.Masters {
		if _, err := s.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/n), strconv.Itoa(slots*(i+1)/n-1)); err != nil {
			return err
		}
		if _, err := s.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil { // initial epochs must differ
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

// replicate assigns each replica a master, round robin, and waits until it follows.
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

// Await waits until every server knows the other servers and reports a complete cluster, as after a restart.
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
					return fmt.Errorf("%s does not report %s", s.Addr, line)
				}
			}
		}
		return nil
	})
}

// until retries until there is no error; when ctx ends, it returns the last error.
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

// Servers returns all servers, the masters first.
func (c *Cluster) Servers() []*Server {
	return append(append(make([]*Server, 0, len(c.Masters)+len(c.Replicas)), c.Masters...), c.Replicas...)
}

// Addrs returns the addresses of all servers.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, s := range c.Servers() {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// URL returns the value for --redis-url.
func (c *Cluster) URL() string { return strings.Join(c.Addrs(), ",") }

// Kill kills all servers.
func (c *Cluster) Kill() error {
	var errs []error
	for _, s := range c.Servers() {
		errs = append(errs, s.Kill())
	}
	return errors.Join(errs...)
}

// Restart restarts all servers and waits until the cluster is complete.
func (c *Cluster) Restart(ctx context.Context) error {
	for _, s := range c.Servers() {
		if err := s.Restart(ctx); err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// Flush deletes all keys of the masters.
func (c *Cluster) Flush(ctx context.Context) error {
	var errs []error
	for _, s := range c.Masters {
		errs = append(errs, s.Flush(ctx))
	}
	return errors.Join(errs...)
}
