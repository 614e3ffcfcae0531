package delivery

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var (
	simSeed      = flag.Uint64("seed", 0, "replay the history of this seed")
	simHistories = flag.Int("histories", 0, "how many histories to play; 0: 3,000, or 300 with -short")
)

// TestSimulation runs seeded histories against the real state machine. A history that violates an invariant is shrunk and printed
// with its seed: go test ./internal/delivery -run TestSimulation -seed N repeats it.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if *simSeed != 0 {
		playSeed(t, *simSeed)
		return
	}
	histories := *simHistories
	if histories == 0 {
		histories = 3000
		if testing.Short() {
			histories = 300
		}
	}
	for seed := uint64(1); seed <= uint64(histories) && !t.Failed(); seed++ {
		playSeed(t, seed)
	}
}

// TestSimulation_RecordedHistories_Pass repeats the seeds that once found a bug.
func TestSimulation_RecordedHistories_Pass(t *testing.T) {
	t.Parallel()
	settled := append(kindsUpTo(opRoute), opSettled, opAckFails)
	for _, found := range []struct {
		kinds []opKind // that histories were made of then
		seeds []uint64
	}{
		{kindsUpTo(opSchedule), []uint64{2, 72, 425, 1594, 12148}},
		{kindsUpTo(opRoute), []uint64{2729, 43297}},
		{settled, []uint64{1677, 16200, 24153}}, // calls about entries that the window had forgotten, or that failed and came back
	} {
		for _, seed := range found.seeds {
			playHistory(t, seed, simConfig{nodes: 1}, history(seed, found.kinds))
		}
	}
}

// playSeed plays a third of the histories on one node and the others on two or three; one of five of these is calm.
func playSeed(t *testing.T, seed uint64) {
	t.Helper()
	s, kinds := simConfig{nodes: 1 + int(seed%3)}, kindsUpTo(opKinds)
	if s.nodes == 1 {
		kinds = append(kindsUpTo(opRoute), opSettled, opAckFails, opAnswer)
	} else {
		s.calm = seed%5 == 0
	}
	playHistory(t, seed, s, history(seed, kinds))
}

func playHistory(t *testing.T, seed uint64, s simConfig, ops []op) {
	t.Helper()
	if err := play(s, ops, nil); err != nil {
		ops = shrink(s, ops)
		var diary strings.Builder
		err := play(s, ops, &diary)
		t.Errorf("seed %d, %d nodes, calm: %t, shrunk to %d steps: %v\n%s", seed, s.nodes, s.calm, len(ops), err, diary.String())
	}
}

// op is one step of a history. Its numbers are taken modulo the number of objects, so any subsequence of a history is valid.
type op struct {
	kind opKind
	a, b uint32
}

type opKind uint8

const (
	opAccept opKind = iota // a commit of messages, its hints on their way
	opConnect
	opClose // without notice
	opEvent // one waiting event reaches its session
	opHintLost
	opHintTwice
	opHintLate
	opAck
	opAckForeign
	opAckTwice
	opUpTo
	opRead
	opSettle
	opSettleFails
	opReadFails
	opFill // the connection refuses until it is drained
	opDrain
	opPong // a sign of life
	opTime
	opPause
	opSweep
	opCancel
	opCrash
	opSchedule
	opMortal // a message with a time to live
	opDue
	opReplay
	opDrop // the server ends a connection
	opCrashLoop
	opSilence
	opRoute // from here on between nodes: a node's look-up begins or is answered
	opSay   // presence of a node begins to be said, or arrives
	opCarry // hints reach their node
	opParcelLost
	opParcelTwice
	opParcelLate
	opParcelAstray
	opPresenceWiped
	opPresenceLies
	opPresenceFails
	opNodePause
	opNodeWake
	opMove     // a phone goes to another node, and its old one does not know
	opHintLies // of a message that never was
	opSettled  // in every history again: the result of a settlement overtakes the reads on their way to the session
	opAckFails // all that the phone has is acknowledged, the commit fails, and a read that the room allowed arrives after that
	opAnswer   // the network code of a phone answers a probe
	opKinds
)

var opNames = [opKinds]string{
	"accept", "connect", "close", "event", "hint lost", "hint twice", "hint late", "ack", "ack foreign", "ack twice", "ack up to",
	"read", "settle", "settle fails", "read fails", "fill", "drain", "pong", "time", "pause", "sweep", "cancel", "crash",
	"schedule", "mortal", "due", "replay", "drop", "crash loop", "silence",
	"route", "say", "carry", "parcel lost", "parcel twice", "parcel late", "parcel astray", "presence wiped", "presence lies",
	"presence fails", "node pause", "node wake", "move", "hint lies",
	"settled first", "ack fails", "answer",
}

// opWeights make the common things common.
var opWeights = [opKinds]int{
	opAccept: 12, opConnect: 4, opClose: 2, opEvent: 40, opHintLost: 2, opHintTwice: 1, opHintLate: 2, opAck: 10, opAckForeign: 1,
	opAckTwice: 1, opUpTo: 4, opRead: 2, opSettle: 12, opSettleFails: 1, opReadFails: 1, opFill: 1, opDrain: 3, opPong: 5,
	opTime: 6, opPause: 1, opSweep: 2, opCancel: 1, opCrash: 1,
	opSchedule: 1, opMortal: 2, opDue: 3, opReplay: 3, opDrop: 1, opCrashLoop: 1, opSilence: 1,
	opRoute: 16, opSay: 8, opCarry: 14, opParcelLost: 2, opParcelTwice: 2, opParcelLate: 2, opParcelAstray: 1, opPresenceWiped: 1,
	opPresenceLies: 2, opPresenceFails: 1, opNodePause: 1, opNodeWake: 3, opMove: 3, opHintLies: 1,
	opSettled: 6, opAckFails: 2,
	opAnswer: 5,
}

// kindsUpTo returns the kinds of steps below end.
func kindsUpTo(end opKind) []opKind {
	kinds := make([]opKind, end)
	for i := range kinds {
		kinds[i] = opKind(i)
	}
	return kinds
}

// history returns the steps of a seed, made of the given kinds: some histories are short, some long. A seed stands for the
// same history only with the same kinds, so a seed that is kept is kept with its kinds.
func history(seed uint64, kinds []opKind) []op {
	random := rand.New(rand.NewPCG(seed, 0x5eed))
	total := 0
	for _, kind := range kinds {
		total += opWeights[kind]
	}
	ops := make([]op, 20+random.IntN(400))
	for i := range ops {
		n := random.IntN(total)
		at := 0
		for n >= opWeights[kinds[at]] {
			n -= opWeights[kinds[at]]
			at++
		}
		ops[i] = op{kinds[at], random.Uint32(), random.Uint32()}
	}
	return ops
}

// shrink removes steps while the remaining history still fails.
func shrink(s simConfig, ops []op) []op {
	for size := len(ops) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(ops); {
			shorter := append(append([]op(nil), ops[:at]...), ops[at+size:]...)
			if play(s, shorter, nil) != nil {
				ops = shorter
			} else {
				at += size
			}
		}
	}
	return ops
}

// play runs a history until it is idle and returns the first violated invariant.
func play(s simConfig, ops []op, diary *strings.Builder) (err error) {
	w := newWorld(s)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for i, o := range ops {
		w.do(o)
		if diary != nil {
			fmt.Fprintf(diary, "%3d %-12s %s\n", i, opNames[o.kind], w.takeNotes())
		}
		if w.broken != nil {
			return w.broken
		}
	}
	w.rest()
	if diary != nil {
		fmt.Fprintf(diary, "    at rest      %s\n", w.takeNotes())
	}
	return w.broken
}
