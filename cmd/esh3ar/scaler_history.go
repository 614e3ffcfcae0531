package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// print shows the diary. It needs no scaler that runs.
func (c *scalerCmd) print(ctx context.Context, s streams) (err error) {
	if c.DatabaseURL == "" {
		return usagef("scaler: --history needs --database-url")
	}
	if err := checkDatabase(c.DatabaseURL); err != nil {
		return err
	}
	if c.Limit < 1 {
		return usagef("--limit: must be 1 or more")
	}
	store, err := openPostgres(ctx, c.DatabaseURL, postgres.Options{Existing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	entries, err := store.Scaling().History(ctx, 0, c.Limit)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		fmt.Fprintln(s.err, "nothing was decided yet")
	}
	for _, e := range slices.Backward(entries) {
		if err := c.printEntry(s, &e); err != nil {
			return err
		}
	}
	return nil
}

func (c *scalerCmd) printEntry(s streams, e *autoscale.Entry) error {
	if !c.JSON {
		_, err := fmt.Fprintln(s.out, e)
		return err
	}
	return json.NewEncoder(s.out).Encode(e)
}
