package autoscale

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// leaseFor is how long the lease stands, in looks: two may fail before somebody else takes over.
const leaseFor = 3

// acquire does not end with ctx: a lease whose answer was not awaited would be held and nobody know it.
func (s *Scaler) acquire(ctx context.Context) (Term, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Every)
	defer cancel()
	return s.opts.Lease.Acquire(ctx, s.opts.Holder, leaseFor*s.opts.Every)
}

// elect takes or keeps the lease. A new term begins with what the last one left.
func (s *Scaler) elect(ctx context.Context) error {
	was := s.term
	term, err := s.acquire(ctx)
	if err != nil {
		s.term.Held = false
		return fmt.Errorf("lease: %w", err)
	}
	if s.term = term; !term.Held {
		return nil
	}
	if was.Token != term.Token || !s.ready {
		s.ready = false
		return s.begin(ctx)
	}
	return nil
}

func (s *Scaler) begin(ctx context.Context) error {
	text, err := s.opts.Diary.Load(ctx)
	if err != nil {
		return fmt.Errorf("diary: %w", err)
	}
	s.state, s.noted, s.peers, s.owed = State{}, noted{}, nil, nil
	if len(text) > 0 {
		if err := json.Unmarshal(text, &s.state); err != nil {
			s.opts.Log.Warn("scaler: what the last one left cannot be read; begun anew", "error", err)
			s.state = State{}
		}
	}
	what := "decides from here on"
	if s.opts.DryRun {
		what = "says from here on what it would do"
	}
	err = s.write(ctx, &Entry{
		At: timeOf(time.Now()), By: s.term.Holder, Token: s.term.Token, From: s.state.Ordered, To: s.state.Ordered,
		Reason: Elected, Why: s.term.Holder + " " + what, DryRun: s.opts.DryRun,
	})
	s.ready, s.seen = err == nil, time.Now()
	return err
}

// keep keeps the lease of this term until ctx ends, and ends it where another has the lease. That nobody answers is no reason:
// the effect asks again.
func (s *Scaler) keep(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(s.opts.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if term, err := s.acquire(ctx); err == nil && term != s.term {
			end(ErrFenced)
			return
		}
	}
}

// leave lets another take over at once. If that fails the lease ends by itself.
func (s *Scaler) leave(ctx context.Context) error {
	if !s.term.Held {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	if err := s.opts.Lease.Release(ctx, s.term); err != nil {
		s.opts.Log.Debug("scaler", "operation", "release the lease", "error", err)
	}
	return nil
}
