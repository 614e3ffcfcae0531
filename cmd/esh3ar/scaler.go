package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// scalerCmd runs an autoscaler outside of the nodes, or prints the history of decisions.
type scalerCmd struct {
	DatabaseURL     string `name:"database-url" help:"The cluster's PostgreSQL: who decides, and the diary."`
	RedisURL        string `name:"redis-url" help:"The cluster's Redis: how the nodes are."`
	DataDir         string `name:"data-dir" default:"./data" help:"For the target processes: nodes keep their data in its folder scaled."`
	Host            string `name:"host" default:"127.0.0.1" help:"For the target processes: where nodes listen, and so are reached at."`
	LogLevel        string `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat       string `name:"log-format" default:"text" enum:"text,json" help:"Lines of the log: text or json."`
	node.ScaleFlags `embed:""`

	History bool     `name:"history" help:"Print the diary, the newest last, and nothing else."`
	Limit   int      `name:"limit" default:"50" help:"With --history: so many entries at most."`
	JSON    bool     `name:"json" help:"With --history: each entry as one line of JSON."`
	Args    []string `arg:"" optional:"" help:"After --: flags of serve for the target processes, or the command, in which {nodes} stands for the number."`
}

// Run checks the flags before it opens or changes anything.
func (c *scalerCmd) Run(ctx context.Context, s node.Streams) error {
	if c.History {
		return c.print(ctx, s)
	}
	if c.DatabaseURL == "" || c.RedisURL == "" {
		return usage.Errorf("scaler: needs --database-url and --redis-url: the database holds the lease of the deciding scaler, and nodes announce their load in Redis")
	}
	cluster := node.Config{DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL}
	if err := errors.Join(node.CheckDatabase(c.DatabaseURL), cluster.CheckRedis()); err != nil {
		return usage.Wrap(usage.OneLine(err))
	}
	if c.Target == "processes" {
		if node.Unspecified(c.Host) {
			return usage.Errorf("--host: %q is where nodes are reached too; name one address of this machine", c.Host)
		}
		if err := node.CheckHost("--host", c.Host); err != nil {
			return err
		}
	}
	plan, err := c.ScaleFlags.Plan("", c.Args)
	if err != nil {
		return err
	}
	return c.scale(ctx, s, plan, node.NewLog(s, c.LogLevel, c.LogFormat))
}

// scale runs until a signal.
func (c *scalerCmd) scale(ctx context.Context, s node.Streams, plan *node.ScalePlan, log *slog.Logger) (err error) {
	store, err := node.OpenPostgres(ctx, c.DatabaseURL, postgres.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	name, err := auth.ClusterOf(ctx, store)
	if err != nil {
		return err
	}
	ring, err := auth.RingOf(ctx, store, time.Now)
	if err != nil {
		return err
	}
	holder := node.NewHolder()
	client, err := redis.Open(ctx, redis.Options{
		URL: c.RedisURL, Node: membership.NodeID(holder), Prefix: node.ClusterPrefix(name), Trusted: ring, OnChange: scalerHears(log), OnRefused: node.RefusedIn(log),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	scaling, err := plan.Open(node.ScaleDependencies{
		Holder: holder, Store: store, Registry: client.Registry(), Dir: c.DataDir, Host: c.Host,
		Env: []string{"ESH3AR_DATABASE_URL=" + c.DatabaseURL, "ESH3AR_REDIS_URL=" + c.RedisURL}, Log: log, Output: s.Err,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s What is decided, and why: %s scaler --history\n", plan.Summary(), usage.Program())
	return scaling.Run(ctx)
}

// scalerHears returns a function that logs changes of the state of Redis.
func scalerHears(log *slog.Logger) func(part string, down error) {
	return func(part string, down error) {
		if down == nil {
			log.Info("Redis answers", "part", part)
			return
		}
		log.Warn("Redis does not answer; the number of nodes stays until it does", "part", part, "error", down)
	}
}
