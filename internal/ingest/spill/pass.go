package spill

import (
	"context"
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// pass is one walk of the drain over the queue.
//
// A call that fails alone with an unclassified error is a suspect: the error may be the call's fault or the store's. Suspects are skipped
// and tried again at the end of the pass. Until then their recipients are blocked, so that no later call overtakes them.
type pass struct {
	*Drainer
	ctx      context.Context           //nolint:containedctx // of the Drain that runs the pass
	suspects []entry                   // calls that failed alone, in order
	blocked  map[esh3ar.Recipient]bool // recipients of the suspects and of the calls skipped behind them
	skipped  bool                      // a call behind a suspect was skipped
	moved    bool                      // a call has left the queue
}

const (
	// blamePasses is the number of failed passes in a row from which on an error that says that the store is away counts against the
	// calls too. A store may misclassify an error that one message causes, and that must not hold up all others for good.
	blamePasses = 10
	// maxSuspects is the number of suspects from which on the fault is the store's, unless a call was stored lately.
	maxSuspects = 3
	// suspectTrials is how often a suspect must fail while another call succeeds before it moves to the quarantine. With a connection that
	// fails for two calls in three, about one good call in 100,000 would be quarantined.
	suspectTrials = 8
)

// run sends the whole queue, batch by batch, then decides about the suspects.
func (p *pass) run() error {
	from := position(0)
	for {
		entries, next, err := p.spill.read(from)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return p.resolveSuspects()
		}
		if err := p.send(entries); err != nil {
			return err
		}
		if len(p.suspects) == 0 {
			p.spill.index.advanceHead(next)
		}
		from = next
	}
}

// send appends the entries to the store, in order. It halves a batch that fails until the failing call is alone.
func (p *pass) send(entries []entry) error {
	entries, err := p.quarantineDamaged(p.withoutBlocked(entries))
	if err != nil || len(entries) == 0 {
		return err
	}
	answers, err := p.append(callsOf(entries))
	switch {
	case err == nil:
		return p.finish(entries, answers)
	case faultinject.Is(faultinject.SpillForgets):
		return errors.Join(err, p.spill.remove(entries))
	case !p.blamesCall(err):
		return err
	case len(entries) > 1:
		half := len(entries) / 2
		if err := p.send(entries[:half]); err != nil {
			return err
		}
		return p.send(entries[half:])
	}
	return p.handleFailure(&entries[0], err)
}

// handleFailure decides about a call that failed alone: to the quarantine if the error is final, else it becomes a suspect.
func (p *pass) handleFailure(e *entry, err error) error {
	e.err = err
	if isRefusal(err) {
		return p.spill.moveToQuarantine(e)
	}
	p.block(e.call)
	p.suspects = append(p.suspects, *e)
	if !p.lastStored.usable() && len(p.suspects) >= maxSuspects {
		return err
	}
	return nil
}

// block blocks the recipients of a call.
func (p *pass) block(c *esh3ar.Call) {
	for _, m := range c.Messages {
		p.blocked[m.Recipient] = true
	}
}

// withoutBlocked returns the entries without those of blocked recipients. All recipients of a skipped call are blocked too.
func (p *pass) withoutBlocked(entries []entry) []entry {
	var free []entry
	if len(p.blocked) == 0 {
		return entries
	}
	for i := range entries {
		c := entries[i].call
		if c != nil && slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return p.blocked[m.Recipient] }) {
			p.skipped = true
			p.block(c)
			continue
		}
		free = append(free, entries[i])
	}
	return free
}

// quarantineDamaged moves entries that cannot be read to the quarantine and returns the others.
func (p *pass) quarantineDamaged(entries []entry) ([]entry, error) {
	var readable []entry
	for i := range entries {
		if entries[i].err == nil {
			readable = append(readable, entries[i])
		} else if err := p.spill.moveToQuarantine(&entries[i]); err != nil {
			return nil, err
		}
	}
	return readable, nil
}

func callsOf(entries []entry) []*esh3ar.Call {
	calls := make([]*esh3ar.Call, len(entries))
	for i := range entries {
		calls[i] = entries[i].call
	}
	return calls
}

// append appends calls to the store, for at most AppendTimeout.
func (p *pass) append(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.AppendTimeout)
	defer cancel()
	answers, err := p.store.Append(ctx, calls)
	if err == nil && len(answers) != len(calls) {
		return nil, esh3ar.Errorf(esh3ar.Internal, "the store gave %d answers to %d calls", len(answers), len(calls))
	}
	return answers, err
}

// isRefusal reports whether the store will never take the call.
func isRefusal(err error) bool {
	return esh3ar.ReactionTo(err) == esh3ar.AnswerCaller && esh3ar.CodeOf(err) != esh3ar.Abandoned
}

// blamesCall reports whether one of the calls may have caused the error.
func (p *pass) blamesCall(err error) bool {
	if p.ctx.Err() != nil || esh3ar.CodeOf(err) == esh3ar.Abandoned || esh3ar.ReactionTo(err) == esh3ar.StopProcess {
		return false
	}
	return isRefusal(err) || esh3ar.CodeOf(err) == esh3ar.Internal || p.failedPasses >= blamePasses
}

// finish publishes the messages that are in the store now and then deletes their entries.
func (p *pass) finish(entries []entry, answers []esh3ar.Answer) error {
	var stored []*esh3ar.Message
	var done []entry
	var messages, duplicates int
	for i, a := range answers {
		e := &entries[i]
		if !confirms(a, e.call) {
			e.err = errWrongAnswer
			if err := p.spill.moveToQuarantine(e); err != nil {
				return err
			}
			continue
		}
		done = append(done, *e)
		messages += len(e.call.Messages)
		switch a.Outcome {
		case esh3ar.Stored:
			stored = append(stored, e.call.Messages...)
		case esh3ar.Duplicate:
			duplicates += len(e.call.Messages)
		case esh3ar.Replayed, esh3ar.Mismatched:
		}
		p.lastStored.set(e.call)
	}
	if len(stored) > 0 {
		p.opts.OnStored(stored)
	}
	if err := p.spill.remove(done); err != nil {
		return err
	}
	p.spill.stats.drained.Add(uint64(messages))
	p.spill.stats.duplicates.Add(uint64(duplicates))
	p.moved = true
	p.opts.OnResult(nil)
	return nil
}

var errWrongAnswer = errors.New("the store answered for another call")

// confirms reports whether the answer means that this call is in the store. If the answer is about another call with the same key, this
// call is not stored, and its entry must be kept.
func confirms(a esh3ar.Answer, c *esh3ar.Call) bool {
	if a.Outcome == esh3ar.Mismatched || len(a.Receipts) != len(c.Messages) {
		return false
	}
	return len(c.Messages) == 0 || a.Receipts[0].ID == c.Messages[0].ID
}

// resolveSuspects decides about the suspects at the end of the pass. A call that fails again and again while the store takes another call
// in between is itself at fault.
func (p *pass) resolveSuspects() error {
	for i := range p.suspects {
		if err := p.retrySuspect(&p.suspects[i]); err != nil {
			return err
		}
	}
	return nil
}

// retrySuspect sends a suspect alone, alternating with the call that was stored last. It returns an error if the store takes neither.
func (p *pass) retrySuspect(e *entry) error {
	for range suspectTrials {
		if !p.lastStored.usable() {
			return e.err
		}
		answers, err := p.append([]*esh3ar.Call{e.call})
		if err == nil {
			return p.finish([]entry{*e}, answers)
		}
		e.err = err
		if _, storeErr := p.append([]*esh3ar.Call{p.lastStored.call}); storeErr != nil {
			return errors.Join(err, storeErr)
		}
	}
	return p.spill.moveToQuarantine(e)
}
