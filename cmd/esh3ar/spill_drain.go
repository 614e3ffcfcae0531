package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// spillDrainCmd brings the spill of a node that does not come back to the database. Nodes that run find the messages by
// their sweep.
type spillDrainCmd struct {
	DataDir     string `name:"data-dir" default:"./data" help:"Data directory of the stopped node."`
	DatabaseURL string `name:"database-url" required:"" help:"The PostgreSQL that the node used, postgres://…"`
	Readmit     bool   `help:"Send the calls in quarantine once more, too."`
}

func (c *spillDrainCmd) Run(ctx context.Context, s streams) (err error) {
	if err := checkDatabase(c.DatabaseURL); err != nil {
		return err
	}
	kept, err := openStopped(c.DataDir, s)
	if err != nil {
		return err
	}
	drained := &spilling{kept: kept, dir: spillFolder(c.DataDir)}
	err = c.drain(ctx, drained, s)
	if _, mistaken := errors.AsType[usageError](err); mistaken {
		return errors.Join(err, kept.Close()) // everything is as it was
	}
	fmt.Fprintf(s.out, "%d messages are in the database now\n", kept.Stats().Drained)
	return errors.Join(err, drained.close(ctx))
}

func (c *spillDrainCmd) drain(ctx context.Context, drained *spilling, s streams) (err error) {
	log := newLog(s, "warn", "text")
	store, err := openPostgres(ctx, c.DatabaseURL, postgres.Options{Log: log, Existing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	cluster, err := auth.ClusterOf(ctx, store)
	if err != nil {
		return err
	}
	if err := claim(drained.kept, cluster); err != nil {
		return err
	}
	if c.Readmit {
		if _, err := drained.Readmit(ctx); err != nil {
			return err
		}
	}
	return spill.NewDrainer(drained.kept, store, spill.DrainOptions{Log: log}).Drain(ctx)
}
