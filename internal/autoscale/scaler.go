package autoscale

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Options configure a Scaler. The zero value of Every or Log selects its default; all other fields are required.
type Options struct {
	Policy   Policy
	Holder   string // unique name of this scaler, different after each restart
	Registry Registry
	Target   Target
	Lease    Lease
	History  History
	DryRun   bool          // only decide and record, change nothing
	Every    time.Duration // time between two rounds; default 5 s
	Log      *slog.Logger
}

// Scaler observes, decides and executes while it holds the lease.
type Scaler struct {
	opts         Options
	term         Term  // this and the following fields belong to the goroutine of Run
	state        State // state of the current term
	lastLogged   loggedDecision
	stateLoaded  bool // state was loaded in the current term
	foreign      foreignNodes
	pendingEntry *Entry    // entry that could not be written to the history; nil if there is none
	lastObserved time.Time // time of the last observation, or of the start of the term

	mu struct {
		sync.Mutex
		status Status
	}
}

// loggedDecision is the last recorded decision, so that a condition is recorded once.
type loggedDecision struct {
	reason Reason
	to     int
}

// Status describes what a Scaler does now.
type Status struct {
	Holder   string   `json:"holder"`   // name of the leader; empty if none is known
	Mine     bool     `json:"mine"`     // this scaler leads
	DryRun   bool     `json:"dryRun"`   // it changes nothing
	Decision *Entry   `json:"decision"` // last decision of this scaler; null if there is none
	Fault    string   `json:"fault"`    // why it cannot decide or execute; empty if it can
	Policy   Policy   `json:"policy"`
	Ordered  int      `json:"ordered"` // expected number of nodes
	Nodes    []string `json:"nodes"`   // ids of the live nodes
}

// New returns a Scaler. It works while Run runs.
func New(o Options) *Scaler {
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scaler{opts: o}
	s.mu.status = Status{Policy: o.Policy, DryRun: o.DryRun}
	return s
}

// Status returns a copy of the status.
func (s *Scaler) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.status
}

// History returns entries of the history, newest first.
func (s *Scaler) History(ctx context.Context, before int64, limit int) ([]Entry, error) {
	return s.opts.History.History(ctx, before, limit)
}

// Run works until ctx ends, then releases the lease and returns nil. Nodes that it started keep running.
func (s *Scaler) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.Every)
	defer ticker.Stop()
	for {
		s.runOnce(ctx)
		select {
		case <-ctx.Done():
			return s.release(context.WithoutCancel(ctx))
		case <-ticker.C:
		}
	}
}

// runOnce performs one round.
func (s *Scaler) runOnce(ctx context.Context) {
	err := s.elect(ctx)
	if err == nil && s.term.Leader {
		err = s.decide(ctx)
	}
	if errors.Is(err, ErrFenced) {
		s.term = Term{}
	}
	s.setFault(err)
}

// setFault stores why the scaler cannot work, and logs each change.
func (s *Scaler) setFault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	said := s.mu.status.Fault
	s.mu.status.Fault = text
	s.mu.status.Holder = s.term.Holder
	s.mu.status.Mine = s.term.Leader
	s.mu.Unlock()
	switch {
	case text == said:
	case text == "":
		s.opts.Log.Info("scaling goes on")
	default:
		s.opts.Log.Warn("scaling is held up; the number of nodes stays", "error", text)
	}
}

// decide is the part of a round that only the leader performs.
func (s *Scaler) decide(ctx context.Context) error {
	if s.pendingEntry != nil { // before anything new, so that the next leader knows
		if err := s.write(ctx, s.pendingEntry); err != nil {
			return err
		}
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return s.observationFailed(ctx, TargetFailed, fmt.Errorf("the target does not report its nodes, so the number stays: %w", err))
	}
	o, err := s.observe(ctx, &fleet)
	if err != nil {
		return s.observationFailed(ctx, NoData, err)
	}
	now := time.Now()
	if s.observationGap(now) {
		s.state.ResetObservations()
	}
	s.lastObserved = now
	d := s.state.Decide(&s.opts.Policy, o, now)
	s.publish(&d, o)
	if !d.Changes() || s.opts.DryRun {
		return s.logChange(ctx, &d)
	}
	if there := s.foreign.lowest(); fleet.Opaque && d.To > d.From && there > d.To {
		d.To, d.Why = there, fmt.Sprintf("%s; %d are there, and none of them is taken away", d.Why, there)
	}
	return s.act(ctx, &d, &fleet, o.Current-fleet.Wanted)
}

// observationGap reports whether the last observation is older than the lease.
func (s *Scaler) observationGap(now time.Time) bool {
	return now.Sub(s.lastObserved) > leaseRounds*s.opts.Every
}

// observationFailed ends a round that cannot decide. Only a longer failure is recorded in the history.
func (s *Scaler) observationFailed(ctx context.Context, reason Reason, err error) error {
	now := time.Now()
	if !s.observationGap(now) {
		return err
	}
	return errors.Join(err, s.logChange(ctx, &Decision{At: now, From: s.state.Ordered, To: s.state.Ordered, Reason: reason, Why: err.Error()}))
}

// act executes a decision. others is the number of nodes that do not belong to the target.
func (s *Scaler) act(ctx context.Context, d *Decision, fleet *Fleet, others int) error {
	if err := s.resize(ctx, max(d.To-others, 0)); err != nil {
		if errors.Is(err, ErrFenced) {
			return err
		}
		failed := *d
		failed.To = d.From
		failed.Reason = TargetFailed
		failed.Why = fmt.Sprintf("%d are wanted (%s), and the target failed: %s", d.To, d.Why, err)
		return errors.Join(fmt.Errorf("target: %w", err), s.logChange(ctx, &failed))
	}
	s.state.Moved(d)
	if fleet.Opaque {
		s.foreign = nil // nodes that are stopping are still registered for a while
	}
	s.lastLogged = loggedDecision{d.Reason, d.To}
	s.opts.Log.Info("scaling", "from", d.From, "to", d.To, "why", d.Why)
	return s.write(ctx, d.entry(s.term, false))
}

func (s *Scaler) fleet(ctx context.Context) (Fleet, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	return s.opts.Target.Fleet(ctx)
}

// observe reads the registry. For an opaque target it assumes the number last ordered, or the number of registered nodes.
func (s *Scaler) observe(ctx context.Context, f *Fleet) (*Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	o := &Observation{RemovalOrder: f.RemovalOrder, Opaque: f.Opaque}
	o.Nodes, o.Unknown = s.opts.Registry.Nodes(ctx)
	if o.Unknown == nil {
		s.foreign.observe(o.Nodes, f.Own)
	}
	others, known := s.foreign.highest()
	switch {
	case f.Opaque && s.state.Ordered > 0:
		f.Wanted, o.Current = s.state.Ordered, s.state.Ordered
	case f.OwnsAll && !f.Opaque:
		o.Current = f.Wanted
	case !known, f.Opaque && others == 0: // the policy's min may be fewer than there are
		return nil, fmt.Errorf("the nodes are not known yet: %w", cmp.Or(o.Unknown, errNoNodes))
	case f.Opaque:
		f.Wanted, o.Current = others, others
	default:
		o.Current = f.Wanted + others
	}
	return o, nil
}

// errNoNodes means that the registry lists no node. A registry that has just started may lose or not yet have its entries.
var errNoNodes = errors.New("the registry lists no nodes")

// resize orders a number of nodes from the target. That may take longer than the lease is valid, so the lease is renewed meanwhile,
// and the order is canceled if the lease is lost.
func (s *Scaler) resize(ctx context.Context, n int) error {
	ctx, end := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { s.renewLease(ctx, end) })
	defer keeper.Wait()
	defer end(nil)
	guard := func(ctx context.Context, effect func(context.Context) error) error {
		return s.opts.Lease.Guard(ctx, s.term, effect)
	}
	return s.opts.Target.Resize(ctx, Order{Nodes: n, Token: s.term.Token, Guard: guard})
}

// logChange records a decision that changes nothing: when a persistent condition begins or ends, and what a dry run would do.
func (s *Scaler) logChange(ctx context.Context, d *Decision) error {
	if !s.worthLogging(d) {
		return nil
	}
	s.lastLogged = loggedDecision{d.Reason, d.To}
	return s.write(ctx, d.entry(s.term, s.opts.DryRun))
}

func (s *Scaler) worthLogging(d *Decision) bool {
	now := loggedDecision{d.Reason, d.To}
	switch {
	case now == s.lastLogged:
		return false
	case d.Changes() || d.Reason.persistent():
		return true
	default:
		return s.lastLogged.reason.persistent() // the condition has ended
	}
}

func (s *Scaler) write(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Every) // what was done is recorded even during shutdown
	defer cancel()
	text, err := json.Marshal(&s.state)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	s.pendingEntry = e
	if err := s.opts.History.Write(ctx, s.term, e, text); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	s.pendingEntry = nil
	return nil
}

// publish updates the fields that Status returns.
func (s *Scaler) publish(d *Decision, o *Observation) {
	names := make([]string, len(o.Nodes))
	for i := range o.Nodes {
		names[i] = string(o.Nodes[i].ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.status.Decision = d.entry(s.term, s.opts.DryRun)
	s.mu.status.Ordered = d.To
	s.mu.status.Nodes = names
}

func timeOf(t time.Time) esh3ar.Time { return esh3ar.TimeOf(t) }
