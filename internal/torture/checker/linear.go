package checker

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// A history is linearizable if all its operations have a sequential order, each at some point between its call and its
// answer, in which a simple model gives exactly the recorded answers. It is the strongest consistency property of a register
// or a log, and its check needs no knowledge of the implementation. Kills, restarts and power cuts are no exceptions.

// never is the end time of an operation without an answer: it may have taken effect at any time after its call.
const never = int64(math.MaxInt64)

// historyPatience bounds the check of one history. The problem is NP-hard, but in these models a wrong order fails at
// its first step.
const historyPatience = 10 * time.Second

// check checks a history against a model and counts it. It reports whether no order explains the history.
func (c *Checked) check(model porcupine.Model, history []porcupine.Operation, deadline time.Time) (broken bool) {
	c.Histories++
	c.Operations += len(history)
	result := linearizable(model, history, deadline)
	if result == porcupine.Unknown {
		c.Undecided++
	}
	return result == porcupine.Illegal
}

func linearizable(model porcupine.Model, history []porcupine.Operation, deadline time.Time) porcupine.CheckResult {
	left := min(historyPatience, time.Until(deadline))
	if left <= 0 {
		return porcupine.Unknown
	}
	return porcupine.CheckOperationsTimeout(model, history, left)
}
