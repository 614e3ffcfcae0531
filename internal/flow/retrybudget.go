package flow

import "time"

// budgetWindow is the number of seconds that a budget looks back.
const budgetWindow = 10

// RetryBudget bounds retries to a share of the calls of the last ten seconds, plus a reserve so that a system with few calls may
// retry too. Without a budget, retries would double the load of a system that fails because it is overloaded.
type RetryBudget struct {
	Share   float64 // retries per call
	Reserve int     // retries in ten seconds, however few calls there are

	seconds [budgetWindow]budgetSecond // ring buffer, indexed by Unix time modulo its length
}

// budgetSecond counts the events of one second.
type budgetSecond struct {
	at      int64 // Unix time
	calls   int64
	retries int64
}

// RecordCall counts a call.
func (b *RetryBudget) RecordCall(now time.Time) { b.second(now).calls++ }

// TrySpend takes a retry from the budget and reports whether there was one.
func (b *RetryBudget) TrySpend(now time.Time) bool {
	if b.Remaining(now) < 1 {
		return false
	}
	b.second(now).retries++
	return true
}

// Remaining returns the number of retries that are left.
func (b *RetryBudget) Remaining(now time.Time) float64 {
	left := float64(b.Reserve)
	for _, s := range b.seconds {
		if s.at > now.Unix()-budgetWindow {
			left += b.Share*float64(s.calls) - float64(s.retries)
		}
	}
	return left
}

// second returns the counters of the current second, reset if they are of an earlier one.
func (b *RetryBudget) second(now time.Time) *budgetSecond {
	unix := now.Unix()
	s := &b.seconds[unix%budgetWindow]
	if s.at != unix {
		*s = budgetSecond{at: unix}
	}
	return s
}
