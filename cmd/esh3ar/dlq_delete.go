package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
	"golang.org/x/sync/errgroup"
)

type dlqDeleteCmd struct {
	clientFlags  `embed:""`
	letterChoice `embed:""`
	Yes          bool `help:"With --all: yes, for good."`
}

// deleters is the number of concurrent deletions: enough for several of them to share a commit of the store.
const deleters = 16

func (c *dlqDeleteCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.letterChoice.check("delete"); err != nil {
		return err
	}
	if c.All && !c.Yes {
		return usage.Errorf("--yes is missing: what is deleted from the dead letters cannot be replayed any more")
	}
	if err := c.ready(); err != nil {
		return err
	}
	if c.All {
		return c.deleteAll(ctx, s)
	}
	return eachID(ctx, s, c.IDs, "deleted", func(_ int, id string) error {
		if err := c.delete(ctx, id); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.Out, "%s  deleted\n", id)
		return err
	})
}

func (c *dlqDeleteCmd) delete(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, letterPath+"/"+id, c.APIKey, nil, nil, nil)
}

// deleteAll deletes the letters that match now. Letters that fail during the run are kept.
func (c *dlqDeleteCmd) deleteAll(ctx context.Context, s node.Streams) error {
	ids, err := c.letterIDs(ctx, &c.letterFilter)
	if err != nil {
		return interrupted(ctx, err, "deleted", 0)
	}
	bar := newProgress(s.Err, "deleted", len(ids))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(deleters) // when full: the next one waits
	for _, id := range ids {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			switch err := c.delete(inner, id.String()); {
			case isNotFound(err): // already deleted by another client
			case err != nil:
				return err
			default:
				bar.add(1)
			}
			return nil
		})
	}
	err = group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	done := bar.end()
	if err != nil {
		return interrupted(ctx, err, "deleted", done)
	}
	_, err = fmt.Fprintf(s.Out, "deleted %d\n", done)
	return err
}
