package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// spillDrainCmd moves the messages in the spill of a stopped node to the database. The sweeps of the running nodes find them there.
type spillDrainCmd struct {
	DataDir     string `name:"data-dir" default:"./data" help:"Data directory of the stopped node."`
	DatabaseURL string `name:"database-url" required:"" help:"The PostgreSQL that the node used, postgres://…"`
	Readmit     bool   `help:"Send the calls in quarantine once more, too."`
}

func (c *spillDrainCmd) Run(ctx context.Context, s node.Streams) error {
	if err := node.CheckDatabase(c.DatabaseURL); err != nil {
		return err
	}
	kept, err := openStopped(c.DataDir, s)
	if err != nil {
		return err
	}
	drained := node.SpillingOf(kept, c.DataDir)
	err = c.drain(ctx, kept, drained, s)
	if _, mistaken := errors.AsType[usage.Error](err); mistaken {
		return errors.Join(err, kept.Close()) // nothing was changed
	}
	fmt.Fprintf(s.Out, "%d messages are in the database now\n", kept.Stats().Drained)
	return errors.Join(err, drained.Close(ctx))
}

func (c *spillDrainCmd) drain(ctx context.Context, kept *spill.Spill, drained *node.Spilling, s node.Streams) (err error) {
	log := node.NewLog(s, "warn", "text")
	store, err := node.OpenPostgres(ctx, c.DatabaseURL, postgres.Options{Log: log, Existing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	cluster, err := auth.ClusterOf(ctx, store)
	if err != nil {
		return err
	}
	if err := node.ClaimSpill(kept, cluster); err != nil {
		return err
	}
	if c.Readmit {
		if _, err := drained.Readmit(ctx); err != nil {
			return err
		}
	}
	return spill.NewDrainer(kept, store, spill.DrainOptions{Log: log}).Drain(ctx)
}
