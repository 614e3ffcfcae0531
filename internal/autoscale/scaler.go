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

// Options make a Scaler. The zero value of Every and Log means the default; everything else must be given.
type Options struct {
	Policy   Policy
	Holder   string // a name that no other scaler has, nor this one after a restart
	Registry Registry
	Target   Target
	Lease    Lease
	Diary    Diary
	DryRun   bool          // decide and write it down, do nothing
	Every    time.Duration // between looks; default 5 s
	Log      *slog.Logger
}

// Scaler looks, decides and has it done, as long as it holds the lease.
type Scaler struct {
	opts  Options
	term  Term  // of Run's goroutine, like what follows
	state State // of this term
	noted noted
	ready bool // state is this term's
	peers peers
	owed  *Entry    // the diary could not be written; nil: it has everything
	seen  time.Time // the last look, or the begin of the term

	mu struct {
		sync.Mutex
		status Status
	}
}

// noted is what the diary said last, so that it says it once.
type noted struct {
	reason Reason
	to     int
}

// Status is what a Scaler does now.
type Status struct {
	Holder   string   `json:"holder"`   // who decides; empty: nobody, as far as is known
	Mine     bool     `json:"mine"`     // this one does
	DryRun   bool     `json:"dryRun"`   // it does nothing
	Decision *Entry   `json:"decision"` // the newest here; null: none yet
	Fault    string   `json:"fault"`    // why it does not decide, or cannot have it done; empty: it does
	Policy   Policy   `json:"policy"`
	Ordered  int      `json:"ordered"` // nodes that there should be
	Nodes    []string `json:"nodes"`   // that live
}

// New makes a scaler; Run makes it work.
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

// Status is a copy.
func (s *Scaler) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.status
}

// History reads the diary, the newest first.
func (s *Scaler) History(ctx context.Context, before int64, limit int) ([]Entry, error) {
	return s.opts.Diary.History(ctx, before, limit)
}

// Run works until ctx ends; then it gives the lease to whoever wants it, and returns nil. What it started goes on.
func (s *Scaler) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.Every)
	defer ticker.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return s.leave(context.WithoutCancel(ctx))
		case <-ticker.C:
		}
	}
}

// look is one round.
func (s *Scaler) look(ctx context.Context) {
	err := s.elect(ctx)
	if err == nil && s.term.Held {
		err = s.decide(ctx)
	}
	if errors.Is(err, ErrFenced) {
		s.term = Term{}
	}
	s.fault(err)
}

// fault keeps why it does nothing, and logs it once.
func (s *Scaler) fault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	said := s.mu.status.Fault
	s.mu.status.Fault, s.mu.status.Holder, s.mu.status.Mine = text, s.term.Holder, s.term.Held
	s.mu.Unlock()
	switch {
	case text == said:
	case text == "":
		s.opts.Log.Info("scaling goes on")
	default:
		s.opts.Log.Warn("scaling is held up; the number of nodes stays", "error", text)
	}
}

// decide is the part of a round that only the holder has.
func (s *Scaler) decide(ctx context.Context) error {
	if s.owed != nil { // before anything new, so that the next holder knows
		if err := s.write(ctx, s.owed); err != nil {
			return err
		}
	}
	fleet, err := s.fleet(ctx)
	if err != nil {
		return s.blinded(ctx, TargetFailed, fmt.Errorf("nothing is known of the target, and nothing is changed meanwhile: %w", err))
	}
	o, err := s.observe(ctx, &fleet)
	if err != nil {
		return s.blinded(ctx, NoData, err)
	}
	now := time.Now()
	if s.away(now) {
		s.state.Anew()
	}
	s.seen = now
	d := s.state.Decide(&s.opts.Policy, o, now)
	s.show(&d, o)
	if !d.Moves() || s.opts.DryRun {
		return s.note(ctx, &d)
	}
	if there := s.peers.least(); fleet.Blind && d.To > d.From && there > d.To {
		d.To, d.Why = there, fmt.Sprintf("%s; %d are there, and none of them is taken away", d.Why, there)
	}
	return s.act(ctx, &d, &fleet, o.Current-fleet.Wanted)
}

// away tells whether it has not looked for as long as a lease stands.
func (s *Scaler) away(now time.Time) bool { return now.Sub(s.seen) > leaseFor*s.opts.Every }

// blinded is a round that decides nothing. One or two are no news.
func (s *Scaler) blinded(ctx context.Context, reason Reason, err error) error {
	now := time.Now()
	if !s.away(now) {
		return err
	}
	return errors.Join(err, s.note(ctx, &Decision{At: now, From: s.state.Ordered, To: s.state.Ordered, Reason: reason, Why: err.Error()}))
}

// act has a decision that moves done, beside nodes that are others'.
func (s *Scaler) act(ctx context.Context, d *Decision, fleet *Fleet, others int) error {
	if err := s.resize(ctx, max(d.To-others, 0)); err != nil {
		if errors.Is(err, ErrFenced) {
			return err
		}
		failed := *d
		failed.To, failed.Reason, failed.Why = d.From, TargetFailed, fmt.Sprintf("%d are wanted (%s), and the target failed: %s", d.To, d.Why, err)
		return errors.Join(fmt.Errorf("target: %w", err), s.note(ctx, &failed))
	}
	s.state.Moved(d)
	if fleet.Blind {
		s.peers = nil // those that go are still there for a while
	}
	s.noted = noted{d.Reason, d.To}
	s.opts.Log.Info("scaling", "from", d.From, "to", d.To, "why", d.Why)
	return s.write(ctx, d.entry(s.term, false))
}

func (s *Scaler) fleet(ctx context.Context) (Fleet, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	return s.opts.Target.Fleet(ctx)
}

// observe asks the registry. A target that knows nothing is taken to have what it was last asked for, or what there is.
func (s *Scaler) observe(ctx context.Context, f *Fleet) (*Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	o := &Observation{Leaving: f.Leaving, Blind: f.Blind}
	o.Nodes, o.Unknown = s.opts.Registry.Nodes(ctx)
	if o.Unknown == nil {
		s.peers.see(o.Nodes, f.Own)
	}
	others, known := s.peers.most()
	switch {
	case f.Blind && s.state.Ordered > 0:
		f.Wanted, o.Current = s.state.Ordered, s.state.Ordered
	case f.Whole && !f.Blind:
		o.Current = f.Wanted
	case !known, f.Blind && others == 0: // the policy's min may be fewer than there are
		return nil, fmt.Errorf("nothing is known of the nodes yet: %w", cmp.Or(o.Unknown, errNobody))
	case f.Blind:
		f.Wanted, o.Current = others, others
	default:
		o.Current = f.Wanted + others
	}
	return o, nil
}

// errNobody is a registry that lists nobody: for a moment it may have begun after its nodes, or before them.
var errNobody = errors.New("the registry lists nobody")

// resize has the target go for so many nodes. That may take longer than a lease stands, so it is kept meanwhile, and the order
// ends where it is lost.
func (s *Scaler) resize(ctx context.Context, n int) error {
	ctx, end := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keep(ctx, end) })
	defer keeper.Wait()
	defer end(nil)
	guard := func(ctx context.Context, effect func(context.Context) error) error {
		return s.opts.Lease.Guard(ctx, s.term, effect)
	}
	return s.opts.Target.Resize(ctx, Order{Nodes: n, Token: s.term.Token, Guard: guard})
}

// note writes down a decision that does not move, where the diary has not just said so: when something that lasts begins,
// when it is over, and what a dry run would do.
func (s *Scaler) note(ctx context.Context, d *Decision) error {
	if !s.worthNoting(d) {
		return nil
	}
	s.noted = noted{d.Reason, d.To}
	return s.write(ctx, d.entry(s.term, s.opts.DryRun))
}

func (s *Scaler) worthNoting(d *Decision) bool {
	now := noted{d.Reason, d.To}
	switch {
	case now == s.noted:
		return false
	case d.Moves() || d.Reason.lasting():
		return true
	default:
		return s.noted.reason.lasting() // it is over
	}
}

func (s *Scaler) write(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Every) // what was done is written down, also at the end
	defer cancel()
	text, err := json.Marshal(&s.state)
	if err != nil {
		return fmt.Errorf("diary: %w", err)
	}
	if s.owed, err = e, s.opts.Diary.Write(ctx, s.term, e, text); err != nil {
		return fmt.Errorf("diary: %w", err)
	}
	s.owed = nil
	return nil
}

// show keeps what Status says.
func (s *Scaler) show(d *Decision, o *Observation) {
	names := make([]string, len(o.Nodes))
	for i := range o.Nodes {
		names[i] = string(o.Nodes[i].ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.status.Decision, s.mu.status.Ordered, s.mu.status.Nodes = d.entry(s.term, s.opts.DryRun), d.To, names
}

func timeOf(t time.Time) esh3ar.Time { return esh3ar.TimeOf(t) }
