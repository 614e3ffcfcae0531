package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// print prints the history of decisions. No scaler needs to run.
func (c *scalerCmd) print(ctx context.Context, s node.Streams) (err error) {
	if c.DatabaseURL == "" {
		return usage.Errorf("scaler: --history needs --database-url")
	}
	if err := node.CheckDatabase(c.DatabaseURL); err != nil {
		return err
	}
	if c.Limit < 1 {
		return usage.Errorf("--limit: must be 1 or more")
	}
	store, err := node.OpenPostgres(ctx, c.DatabaseURL, postgres.Options{Existing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	entries, err := store.Scaling().History(ctx, 0, c.Limit)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		fmt.Fprintln(s.Err, "nothing was decided yet")
	}
	for _, e := range slices.Backward(entries) {
		if err := c.printEntry(s, &e); err != nil {
			return err
		}
	}
	return nil
}

func (c *scalerCmd) printEntry(s node.Streams, e *autoscale.Entry) error {
	if !c.JSON {
		_, err := fmt.Fprintln(s.Out, printable(e.String()))
		return err
	}
	return printJSON(s.Out, e, "")
}
