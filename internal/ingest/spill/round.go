package spill

import (
	"context"
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// round is one walk of the drain over the queue.
type round struct {
	*Drainer
	ctx      context.Context           //nolint:containedctx // of the call
	suspects []entry                   // that the store refused for no reason of theirs, as it seems
	held     map[esh3ar.Recipient]bool // of the suspects: nobody overtakes those
	skipped  bool                      // something behind a suspect
	moved    bool                      // something left the spill
}

const (
	// stubborn is after how many rounds in a row that brought nothing an error that speaks of the store is held against the
	// calls, too: an engine may take for its own what comes from one message, and that must not hold up all others for ever.
	stubborn = 10
	// maxSuspects is how many calls are tried alone before it is the store.
	maxSuspects = 3
	// trials is how often a suspect must fail while others pass: a link that cuts two calls in three off would condemn one
	// in a hundred thousand innocents.
	trials = 8
)

func (r *round) run() error {
	for from := position(0); ; {
		entries, next, err := r.spill.read(from)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return r.judge()
		}
		if err := r.send(entries); err != nil {
			return err
		}
		if len(r.suspects) == 0 {
			r.spill.held.headTo(next)
		}
		from = next
	}
}

// send appends the entries, in order.
func (r *round) send(entries []entry) error {
	entries, err := r.sound(r.unheld(entries))
	if err != nil || len(entries) == 0 {
		return err
	}
	answers, err := r.append(callsOf(entries))
	switch {
	case err == nil:
		return r.stored(entries, answers)
	case faultinject.Is(faultinject.SpillForgets):
		return errors.Join(err, r.spill.remove(entries))
	case !r.blames(err):
		return err
	case len(entries) > 1:
		half := len(entries) / 2
		if err := r.send(entries[:half]); err != nil {
			return err
		}
		return r.send(entries[half:])
	}
	entries[0].damage = err
	if refuses(err) {
		return r.spill.setAside(&entries[0])
	}
	r.hold(entries[0].call)
	if r.suspects = append(r.suspects, entries[0]); !r.seen.speaks() && len(r.suspects) >= maxSuspects {
		return err
	}
	return nil
}

func (r *round) hold(c *esh3ar.Call) {
	for _, m := range c.Messages {
		r.held[m.Recipient] = true
	}
}

// unheld leaves out what would overtake a suspect, and what would overtake that.
func (r *round) unheld(entries []entry) (free []entry) {
	if len(r.held) == 0 {
		return entries
	}
	for i := range entries {
		c := entries[i].call
		if c != nil && slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return r.held[m.Recipient] }) {
			r.skipped = true
			r.hold(c)
			continue
		}
		free = append(free, entries[i])
	}
	return free
}

// sound moves what cannot be read to the quarantine and gives the rest.
func (r *round) sound(entries []entry) (sound []entry, err error) {
	for i := range entries {
		if entries[i].damage == nil {
			sound = append(sound, entries[i])
		} else if err := r.spill.setAside(&entries[i]); err != nil {
			return nil, err
		}
	}
	return sound, nil
}

func callsOf(entries []entry) []*esh3ar.Call {
	calls := make([]*esh3ar.Call, len(entries))
	for i := range entries {
		calls[i] = entries[i].call
	}
	return calls
}

func (r *round) append(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.AppendTimeout)
	defer cancel()
	answers, err := r.store.Append(ctx, calls)
	if err == nil && len(answers) != len(calls) {
		return nil, esh3ar.Errorf(esh3ar.Internal, "the store gave %d answers to %d calls", len(answers), len(calls))
	}
	return answers, err
}

// refuses tells whether the store will not take a call, whenever it is asked.
func refuses(err error) bool {
	return esh3ar.ReactionTo(err) == esh3ar.AnswerCaller && esh3ar.CodeOf(err) != esh3ar.Abandoned
}

// blames tells whether an error can be because of one of the calls.
func (r *round) blames(err error) bool {
	switch {
	case r.ctx.Err() != nil, esh3ar.CodeOf(err) == esh3ar.Abandoned, esh3ar.ReactionTo(err) == esh3ar.StopProcess:
		return false
	case refuses(err), esh3ar.CodeOf(err) == esh3ar.Internal:
		return true
	default:
		return r.failed >= stubborn
	}
}

// stored publishes what is in the store now, and only then lets it leave.
func (r *round) stored(entries []entry, answers []esh3ar.Answer) error {
	var fresh []*esh3ar.Message
	var gone []entry
	var messages, duplicates int
	for i, a := range answers {
		if e := &entries[i]; !speaksOf(a, e.call) {
			e.damage = errForeign
			if err := r.spill.setAside(e); err != nil {
				return err
			}
			continue
		}
		gone = append(gone, entries[i])
		n := len(entries[i].call.Messages)
		if messages += n; a.Outcome == esh3ar.Stored {
			fresh = append(fresh, entries[i].call.Messages...)
		} else if a.Outcome == esh3ar.Duplicate {
			duplicates += n
		}
		r.seen.saw(entries[i].call)
	}
	if len(fresh) > 0 {
		r.opts.OnStored(fresh)
	}
	if err := r.spill.remove(gone); err != nil {
		return err
	}
	r.spill.stats.drained.Add(uint64(messages))
	r.spill.stats.duplicates.Add(uint64(duplicates))
	r.moved = true
	r.opts.OnResult(nil)
	return nil
}

var errForeign = errors.New("the store answered for another call")

// speaksOf tells whether an answer says that this call is in the store. A store that answers for whoever else has the key has
// not taken it, and then it must not go.
func speaksOf(a esh3ar.Answer, c *esh3ar.Call) bool {
	if a.Outcome == esh3ar.Mismatched || len(a.Receipts) != len(c.Messages) {
		return false
	}
	return len(c.Messages) == 0 || a.Receipts[0].ID == c.Messages[0].ID
}

// judge decides about the suspects at the end of the round. Who is refused again and again, while the store takes another
// call before and after, is refused for what it is.
func (r *round) judge() error {
	for i := range r.suspects {
		if err := r.try(&r.suspects[i]); err != nil {
			return err
		}
	}
	return nil
}

// try sends a suspect alone, in turn with a witness. An error means that the store does not answer now.
func (r *round) try(e *entry) error {
	for range trials {
		if !r.seen.speaks() {
			return e.damage
		}
		answers, err := r.append([]*esh3ar.Call{e.call})
		if err == nil {
			return r.stored([]entry{*e}, answers)
		}
		e.damage = err
		if _, silent := r.append([]*esh3ar.Call{r.seen.call}); silent != nil {
			return errors.Join(err, silent)
		}
	}
	return r.spill.setAside(e)
}
