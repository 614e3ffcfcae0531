package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type dlqReplayCmd struct {
	clientFlags  `embed:""`
	letterChoice `embed:""`
	Rate         int `help:"Replay at most this many letters per second; 0: as fast as it goes."`
}

func (c *dlqReplayCmd) Run(ctx context.Context, s node.Streams) error {
	if c.Rate < 0 {
		return usage.Errorf("--rate: must not be negative")
	}
	if err := c.letterChoice.check("replay"); err != nil {
		return err
	}
	if err := c.ready(); err != nil {
		return err
	}
	if c.All {
		return c.replayAll(ctx, s)
	}
	pace := pacer{c.Rate, time.Now()}
	return eachID(ctx, s, c.IDs, "replayed", func(i int, id string) error {
		if err := pause(ctx, pace.wait(i, time.Now())); err != nil {
			return err
		}
		var message sentMessage
		if err := c.call(ctx, http.MethodPost, letterPath+"/"+id+"/replay", c.APIKey, nil, nil, &message); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.Out, "%s  %s  seq %d  to %s\n", printable(message.ID), printable(message.Status), message.Seq, printable(message.To))
		return err
	})
}

// eachID performs an action on each given letter. It reports ids that are not dead letters and continues with the others.
func eachID(ctx context.Context, s node.Streams, ids []string, verb string, do func(i int, id string) error) error {
	done := 0
	for i, id := range ids {
		switch err := do(i, id); {
		case isNotFound(err):
			fmt.Fprintf(s.Err, "esh3ar: no dead letter %s\n", id)
		case err != nil:
			return interrupted(ctx, err, verb, done)
		default:
			done++
		}
	}
	if done < len(ids) {
		return errVerdict
	}
	return nil
}

func isNotFound(err error) bool {
	p, ok := errors.AsType[problem](err)
	return ok && p.Code == "not_found"
}

// replayAll replays all letters that match, step by step. All steps have the upper time limit of the first, so a letter that fails
// again during the run is not replayed twice.
func (c *dlqReplayCmd) replayAll(ctx context.Context, s node.Streams) error {
	counted, err := c.letterIDs(ctx, &c.letterFilter)
	if err != nil {
		return interrupted(ctx, err, "replayed", 0)
	}
	bar := newProgress(s.Err, "replayed", len(counted))
	err = c.steps(ctx, pacer{c.Rate, time.Now()}, bar.add)
	done := bar.end()
	if err != nil {
		return interrupted(ctx, err, "replayed", done)
	}
	_, err = fmt.Fprintf(s.Out, "replayed %d\n", done)
	return err
}

// steps makes the calls at the given pace, and calls done with the number of letters that each call replayed.
func (c *dlqReplayCmd) steps(ctx context.Context, pace pacer, done func(n int)) error {
	body := map[string]any{"limit": pace.step()}
	for name, value := range c.fields() {
		body[name] = value
	}
	for total := 0; ; {
		var step struct {
			Replayed int    `json:"replayed"`
			More     bool   `json:"more"`
			Until    string `json:"until"`
		}
		if err := c.call(ctx, http.MethodPost, letterPath+"/replay", c.APIKey, nil, body, &step); err != nil {
			return flagged(err, letterFlags)
		}
		total += step.Replayed
		done(step.Replayed)
		if !step.More {
			return nil
		}
		if step.Replayed == 0 { // the next step would find the same letters
			return fmt.Errorf("the latest dead letters cannot be replayed: look at them with `%s dlq list`, and at the store with `%s verify`", usage.Program(), usage.Program())
		}
		body["until"] = step.Until
		if err := pause(ctx, pace.wait(total, time.Now())); err != nil {
			return err
		}
	}
}
