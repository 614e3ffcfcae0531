package checker

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// Whether a history is linearizable is the question whether there is one order of all its operations, each somewhere
// between its call and its answer, in which a simple model of the thing gives exactly the answers that were given. It is
// the strongest thing that can be said of a register or a log, and it needs no knowledge of how the thing works inside: a
// kill, a restart or a power cut is no excuse.

// never is the end of time: what was not answered may have had its effect at any time after its call.
const never = int64(math.MaxInt64)

// historyPatience bounds the checking of one history: the question is NP-hard, though the models here are made so that
// a wrong order is refused at its first step.
const historyPatience = 10 * time.Second

// check holds a history against a model and counts it; broken says that no order explains it.
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
