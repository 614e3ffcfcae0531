package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// TestSimulation_FaultyStoreAndPowerCuts_LosesNothing runs callers against an intake, a spill and a drain. The store goes away, hangs,
// commits without answering, commits late, and never takes some messages; the power of the node is cut now and then. Afterwards the
// answers in the ledger are compared with the store.
func TestSimulation_FaultyStoreAndPowerCuts_LosesNothing(t *testing.T) {
	seeds := uint64(24)
	if long() {
		seeds = 1000
	} else if testing.Short() {
		seeds = 6
	}
	var seen coverage
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulation(t, seed)
			defer func() {
				if t.Failed() { // a failure in a bubble ends the whole test
					t.Logf("seed %d", seed)
				}
			}()
			sim.run()
			sim.store.mu.Lock() // late commits write to it
			defer sim.store.mu.Unlock()
			sim.mu.Lock()
			defer sim.mu.Unlock()
			sim.check()
			seen.add(&sim.seen)
		})
	}
	t.Logf("%+v", seen)
	if missing := seen.missing(); len(missing) > 0 {
		t.Errorf("the simulation never covered: %v", missing)
	}
}

func long() bool { return os.Getenv("ESH3AR_LONG") != "" }

// coverage counts the cases that the simulation must have covered to prove anything.
type coverage struct {
	Calls, Stored, Spilled, Replays, SpilledReplays, Mismatched, Refused, Unknown, Full, Overloaded int
	Cuts, CutsWithSpill, Quarantined, Duplicates, LateCommits, UnknownCommits, Drained              int
}

func (s *coverage) fields() map[string]*int {
	return map[string]*int{
		"calls": &s.Calls, "stored": &s.Stored, "spilled": &s.Spilled, "replays": &s.Replays, "spilled replays": &s.SpilledReplays,
		"mismatched": &s.Mismatched, "refused": &s.Refused, "unknown": &s.Unknown, "full": &s.Full, "overloaded": &s.Overloaded,
		"cuts": &s.Cuts, "cuts with a spill": &s.CutsWithSpill, "quarantined": &s.Quarantined, "duplicates": &s.Duplicates,
		"late commits": &s.LateCommits, "commits of unknown outcome": &s.UnknownCommits, "drained": &s.Drained,
	}
}

func (s *coverage) add(other *coverage) {
	for name, n := range s.fields() {
		*n += *other.fields()[name]
	}
}

func (s *coverage) missing() (names []string) {
	for name, n := range s.fields() {
		if *n == 0 && (name != "unknown" || long()) { // rare; it has a test of its own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ledgerEntry is one message in the ledger. Its times count events of the simulation.
type ledgerEntry struct {
	id        esh3ar.MessageID
	recipient esh3ar.Recipient
	poisoned  bool
	submitted int // time of the submission
	accepted  int // time of the acceptance; zero if it was not accepted
	spilled   bool
	refused   error // the definite refusal; nil if there was none
	contested bool  // another node may have its idempotency key
}

// simulation is the state of one run.
type simulation struct {
	*testing.T
	seed  uint64
	seen  coverage
	store *faultyStore
	disk  *vfs.MemFS
	opts  spill.Options

	mu         sync.Mutex
	rng        *rand.Rand
	now        int // number of events that callers have seen
	ledger     map[esh3ar.MessageID]*ledgerEntry
	answers    map[string][][]esh3ar.MessageID // ids of each distinct answer, by idempotency key
	lastSeq    map[esh3ar.Recipient]esh3ar.Seq // last published seq of each recipient
	node       *nodeRun                        // nil while the power is off
	publishing bool                            // a Publish is running
	key        int                             // last number used in an idempotency key
}

// nodeRun is the node between two power cuts.
type nodeRun struct {
	in       *ingest.Intake
	spill    *spill.Spill
	drain    *spill.Drainer
	powerCut chan struct{} // closed by the power cut
	stop     func()
}

// simulated is the length of a simulation, in fake time.
const simulated = 40 * time.Second

func newSimulation(t *testing.T, seed uint64) *simulation {
	sim := &simulation{
		T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewCrashableMem(), ledger: map[esh3ar.MessageID]*ledgerEntry{},
		answers: map[string][][]esh3ar.MessageID{}, lastSeq: map[esh3ar.Recipient]esh3ar.Seq{},
	}
	sim.store = newFaultyStore(sim)
	sim.opts = spill.Options{MemTable: 64 << 10, MaxBytes: []int64{6 << 10, 1 << 20, 1 << 30}[seed%3]}
	return sim
}

// intn returns a random number below n, from the one source of the simulation.
func (sim *simulation) intn(n int) int {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return sim.rng.IntN(n)
}

// sleep sleeps for a random time below limit.
func (sim *simulation) sleep(limit time.Duration) { time.Sleep(time.Duration(sim.intn(int(limit)))) }

// tick counts an event and returns its time. The caller holds mu.
func (sim *simulation) tick() int {
	sim.now++
	return sim.now
}

// start starts the node with the contents of the disk.
func (sim *simulation) start() *nodeRun {
	opts := sim.opts
	opts.FS = sim.disk
	sp, err := spill.Open("spill", opts)
	if err != nil {
		sim.Fatal(err)
	}
	l := &nodeRun{spill: sp, powerCut: make(chan struct{})}
	store := &storeLink{store: sim.store, run: l}
	l.in = ingest.New(store, &checkingPublisher{sim, l}, ingest.Options{
		LaneMessages: 16, BatchMessages: 4, Linger: time.Millisecond, LaneTimeout: time.Second, StoreTimeout: 300 * time.Millisecond,
		LaneMemory: 12 << 10, Spill: sp,
	})
	l.drain = spill.NewDrainer(sp, store, spill.DrainOptions{
		OnStored: l.in.OnDrained, OnResult: l.in.OnDrainResult, AppendTimeout: time.Second, MinPause: 20 * time.Millisecond, MaxPause: 300 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{l.in.Run, l.drain.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				sim.Error(err)
			}
		})
	}
	l.stop = func() {
		cancel()
		parts.Wait()
		if err := sp.Close(); err != nil {
			sim.Error(err)
		}
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.node = l
	clear(sim.lastSeq)
	return l
}

// cut cuts the power of the node. Its disk keeps what was synced, and what the old run does from now on has no effect.
func (sim *simulation) cut() {
	sim.mu.Lock()
	old := sim.node
	sim.node = nil
	sim.disk = sim.disk.CrashClone(vfs.CrashCloneCfg{})
	close(old.powerCut)
	sim.seen.Cuts++
	if old.spill.Calls() > 0 {
		sim.seen.CutsWithSpill++
	}
	sim.mu.Unlock()
	s := old.spill.Stats()
	sim.seen.Drained += int(s.Drained)
	old.stop()
}

func (sim *simulation) run() {
	sim.start()
	done := make(chan struct{})
	var parts, callers sync.WaitGroup
	parts.Go(func() { sim.store.changeConditions(done) })
	parts.Go(func() { sim.powerCuts(done) })
	for c := range 12 {
		callers.Go(func() { sim.caller(c, done) })
	}
	time.Sleep(simulated)
	close(done)
	callers.Wait()
	parts.Wait()
	sim.store.set(healthy)
	sim.settle()
}

// settle waits until the spill is drained, then stops the node.
func (sim *simulation) settle() {
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if sim.node.spill.Calls() == 0 {
			break
		}
	}
	time.Sleep(5 * time.Second) // late commits
	if n := sim.node.spill.Calls(); n > 0 {
		sim.Errorf("got %d calls in the spill at the end, want none", n)
	}
	err := sim.node.spill.Quarantine(func(q spill.Quarantined) bool {
		sim.seen.Quarantined++
		for _, m := range q.Call.Messages {
			sim.store.quarantined[m.ID] = true
		}
		return true
	})
	if err != nil {
		sim.Error(err)
	}
	sim.seen.Drained += int(sim.node.spill.Stats().Drained)
	sim.node.stop()
}

func (sim *simulation) powerCuts(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(3000+sim.intn(9000)) * time.Millisecond):
			sim.cut()
			sim.sleep(500 * time.Millisecond)
			sim.start()
		}
	}
}

// caller sends one call after the other. A call that it sends after an answer must be stored after the answered one.
func (sim *simulation) caller(n int, done <-chan struct{}) {
	business := esh3ar.NewBusinessID()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(sim.intn(120)) * time.Millisecond):
		}
		c := sim.compose(business, n)
		var duplicates sync.WaitGroup
		for c.Key != nil && sim.intn(3) == 0 {
			duplicate := sim.duplicateOf(c)
			duplicates.Go(func() { sim.submit(duplicate) })
		}
		sim.submit(c)
		duplicates.Wait()
		if c.Key != nil && sim.intn(3) == 0 {
			sim.submit(sim.duplicateOf(c))
		}
	}
}

// compose returns a random call; most have one message for the caller's usual recipient.
func (sim *simulation) compose(business esh3ar.BusinessID, n int) *esh3ar.Call {
	c := &esh3ar.Call{Business: business}
	to := esh3ar.Recipient(n%4 + 1)
	if sim.intn(8) == 0 {
		to = esh3ar.Recipient(100 + sim.intn(30)) // a recipient that rarely has calls in the spill
	}
	for range 1 + max(0, sim.intn(12)-9) {
		c.Messages = append(c.Messages, sim.message(business, to))
		to = esh3ar.Recipient(sim.intn(4) + 1)
	}
	if sim.intn(3) > 0 {
		return c
	}
	if sim.intn(8) == 0 {
		c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint("contested-", sim.intn(40))}
	} else {
		sim.mu.Lock()
		sim.key++
		c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint("key-", sim.key)}
		sim.mu.Unlock()
	}
	c.Key.ExpiresAt = esh3ar.TimeOf(time.Now().Add(24 * time.Hour))
	return c
}

func (sim *simulation) message(business esh3ar.BusinessID, to esh3ar.Recipient) *esh3ar.Message {
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, Recipient: to, Priority: esh3ar.Priority(sim.intn(esh3ar.Priorities)), Content: "good"}
	if sim.intn(60) == 0 {
		m.Content = poisoned
	}
	return m
}

// duplicateOf returns the call as a client repeats it, with new message ids. One in five has another fingerprint.
func (sim *simulation) duplicateOf(c *esh3ar.Call) *esh3ar.Call {
	key := *c.Key
	if sim.intn(5) == 0 {
		key.Fingerprint[0] = 1
	}
	duplicate := &esh3ar.Call{Business: c.Business, Key: &key}
	for _, m := range c.Messages {
		messageCopy := *m
		messageCopy.ID = esh3ar.NewMessageID()
		duplicate.Messages = append(duplicate.Messages, &messageCopy)
	}
	return duplicate
}

// submit sends a call to the running node and records the answer in the ledger.
func (sim *simulation) submit(c *esh3ar.Call) {
	sim.mu.Lock()
	node := sim.node
	if node == nil {
		sim.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return
	}
	sim.seen.Calls++
	submitted := sim.tick()
	contested := c.Key != nil && isContested(c.Key.Key)
	for _, m := range c.Messages {
		sim.ledger[m.ID] = &ledgerEntry{id: m.ID, recipient: m.Recipient, submitted: submitted, poisoned: m.Content == poisoned, contested: contested}
	}
	sim.mu.Unlock()
	answer, err := node.in.Submit(context.Background(), c)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	select {
	case <-node.powerCut:
		return // the answer was lost
	default:
	}
	switch {
	case err == nil:
		sim.accepted(c, &answer)
	case esh3ar.CodeOf(err) == esh3ar.OutcomeUnknown:
		sim.seen.Unknown++
	default:
		sim.refused(c, err)
	}
}

func isContested(key string) bool { return len(key) > 10 && key[:10] == "contested-" }

func (sim *simulation) refused(c *esh3ar.Call, err error) {
	switch esh3ar.CodeOf(err) {
	case esh3ar.StorageFull:
		sim.seen.Full++
	case esh3ar.Overloaded:
		sim.seen.Overloaded++
	default:
		sim.seen.Refused++
	}
	for _, m := range c.Messages {
		sim.ledger[m.ID].refused = err
	}
}

func (sim *simulation) accepted(c *esh3ar.Call, a *esh3ar.Answer) {
	sim.count(a)
	if a.Outcome == esh3ar.Mismatched {
		for _, m := range c.Messages {
			sim.ledger[m.ID].refused = errors.New("mismatched")
		}
		return
	}
	at := sim.tick()
	var ids []esh3ar.MessageID
	for i, r := range a.Receipts {
		ids = append(ids, r.ID)
		if a.Outcome == esh3ar.Stored && (r.ID != c.Messages[i].ID || a.Spilled != (r.Seq == 0)) {
			sim.Errorf("got receipt %+v for a stored call (spilled: %t), want its id, and a seq unless spilled", r, a.Spilled)
		}
		if e := sim.ledger[r.ID]; e != nil && e.accepted == 0 {
			e.accepted, e.spilled = at, a.Spilled
		} else if e == nil && !isContested(c.Key.Key) {
			sim.Errorf("got an answer with id %s, which no call had", r.ID)
		}
	}
	if c.Key == nil || isContested(c.Key.Key) {
		return
	}
	sim.checkReplay(c.Key.Key, a, ids)
}

// checkReplay checks that all calls with a key get the same answer. There is one exception: while the store has the first call and is away,
// a repeated call may be spilled as a new one. It ends as a duplicate; its own repeats may be answered before it is.
func (sim *simulation) checkReplay(key string, a *esh3ar.Answer, ids []esh3ar.MessageID) {
	known := sim.answers[key]
	if slices.ContainsFunc(known, func(before []esh3ar.MessageID) bool { return slices.Equal(before, ids) }) {
		return
	}
	sim.answers[key] = append(known, ids)
	for _, before := range known {
		if !a.Spilled || !sim.store.has(before[0]) {
			sim.Errorf("key %s: got answers %v and %v (%+v), want the same", key, before, ids, a)
		}
	}
}

func (sim *simulation) count(a *esh3ar.Answer) {
	switch {
	case a.Outcome == esh3ar.Mismatched:
		sim.seen.Mismatched++
	case a.Outcome == esh3ar.Replayed && a.Spilled:
		sim.seen.SpilledReplays++
	case a.Outcome == esh3ar.Replayed:
		sim.seen.Replays++
	case a.Spilled:
		sim.seen.Spilled++
	default:
		sim.seen.Stored++
	}
}

// checkingPublisher checks that messages are published in the order of their seqs, by one goroutine at a time.
type checkingPublisher struct {
	sim *simulation
	run *nodeRun
}

func (p *checkingPublisher) Publish(stored []*esh3ar.Message) {
	sim := p.sim
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.publishing {
		sim.Error("got two Publish calls at once, want one")
	}
	if sim.node != p.run {
		return // the power of this run was cut
	}
	sim.publishing = true
	defer func() { sim.publishing = false }()
	for _, m := range stored {
		if sim.lastSeq[m.Recipient] >= m.Seq {
			sim.Errorf("recipient %s: got seq %d published after %d, want rising", m.Recipient, m.Seq, sim.lastSeq[m.Recipient])
		}
		sim.lastSeq[m.Recipient] = m.Seq
	}
}

// check compares the ledger with the store.
func (sim *simulation) check() {
	synctest.Wait() // a late commit may still be running
	for id, e := range sim.ledger {
		stored := sim.store.stored[id]
		canceled := sim.store.canceled[id]
		quarantined := sim.store.quarantined[id]
		switch {
		case stored > 1:
			sim.Errorf("message %s: got it stored %d times, want once", id, stored)
		case e.refused != nil && (stored > 0 || quarantined):
			sim.Errorf("message %s was refused (%v): got it stored %d times, quarantined %t, want neither", id, e.refused, stored, quarantined)
		case e.accepted > 0 && stored == 0 && !quarantined:
			sim.Errorf("message %s was accepted (spilled: %t) and is lost", id, e.spilled)
		case e.accepted > 0 && canceled && !e.spilled:
			sim.Errorf("message %s was answered as stored and then canceled", id)
		case quarantined && !sim.store.poisonedCall[id]:
			sim.Errorf("message %s is in quarantine but its call can be stored", id)
		}
		if canceled {
			sim.seen.Duplicates++
		}
	}
	for r, ids := range sim.store.inbox {
		sim.checkOrder(r, ids)
	}
}

// checkOrder checks that a message is stored after all messages that were accepted before it was submitted.
func (sim *simulation) checkOrder(r esh3ar.Recipient, ids []esh3ar.MessageID) {
	earliest, earliestID := sim.now+1, esh3ar.MessageID{} // first acceptance among the messages stored later
	for _, id := range slices.Backward(ids) {
		e := sim.ledger[id]
		if e == nil {
			continue // of another node
		}
		if earliest < e.submitted {
			sim.Errorf("recipient %d: got %s stored before %s, but it was submitted after that was accepted", r, id, earliestID)
		}
		if e.accepted > 0 && e.accepted < earliest {
			earliest, earliestID = e.accepted, id
		}
	}
}
