package autoscale

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// leaseRounds is the validity of the lease in rounds: two renewals may fail before another scaler takes over.
const leaseRounds = 3

// acquire is not canceled with ctx: if the answer were not awaited, the lease could be held without this scaler knowing it.
func (s *Scaler) acquire(ctx context.Context) (Term, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Every)
	defer cancel()
	return s.opts.Lease.Acquire(ctx, s.opts.Holder, leaseRounds*s.opts.Every)
}

// elect takes or renews the lease. A new term starts with the state of the last leader.
func (s *Scaler) elect(ctx context.Context) error {
	was := s.term
	term, err := s.acquire(ctx)
	if err != nil {
		s.term.Leader = false
		return fmt.Errorf("lease: %w", err)
	}
	s.term = term
	if !term.Leader {
		return nil
	}
	if was.Token != term.Token || !s.stateLoaded {
		s.stateLoaded = false
		return s.loadState(ctx)
	}
	return nil
}

func (s *Scaler) loadState(ctx context.Context) error {
	text, err := s.opts.History.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the state: %w", err)
	}
	s.state = State{}
	s.lastLogged = loggedDecision{}
	s.foreign = nil
	s.pendingEntry = nil
	if len(text) > 0 {
		if err := json.Unmarshal(text, &s.state); err != nil {
			s.opts.Log.Warn("scaler: the state of the last leader cannot be decoded; starting from scratch", "error", err)
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
	s.stateLoaded, s.lastObserved = err == nil, time.Now()
	return err
}

// renewLease renews the lease of this term until ctx ends, and calls end if another scaler holds it. A failed renewal is ignored:
// the effect checks the lease again.
func (s *Scaler) renewLease(ctx context.Context, end context.CancelCauseFunc) {
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

// release releases the lease, so that another scaler takes over at once. If that fails, the lease expires.
func (s *Scaler) release(ctx context.Context) error {
	if !s.term.Leader {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	if err := s.opts.Lease.Release(ctx, s.term); err != nil {
		s.opts.Log.Debug("scaler", "operation", "release the lease", "error", err)
	}
	return nil
}
