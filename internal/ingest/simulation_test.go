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

// TestTheSpillKeepsThePromises runs callers against intake, spill and drain over a store that goes away, hangs, commits
// what it said nothing of, commits it late, and refuses some messages for ever, while the power of the node is cut now and
// then. Afterwards the ledger says what was answered, and the store what became of it.
func TestTheSpillKeepsThePromises(t *testing.T) {
	seeds := uint64(24)
	switch {
	case long():
		seeds = 1000
	case testing.Short():
		seeds = 6
	}
	var seen sightings
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer func() {
				if t.Failed() { // the bubble ends the whole test then
					t.Logf("seed %d", seed)
				}
			}()
			w.run()
			w.store.mu.Lock() // what a late commit wrote is read here
			defer w.store.mu.Unlock()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.verdict()
			seen.add(&w.seen)
		})
	}
	t.Logf("%+v", seen)
	if missing := seen.missing(); len(missing) > 0 {
		t.Errorf("the simulation never came to: %v", missing)
	}
}

func long() bool { return os.Getenv("ESH3AR_LONG") != "" }

// sightings count what a simulation must have gone through to show anything.
type sightings struct {
	Calls, Stored, Spilled, Twins, SpilledTwins, Mismatched, Refused, Unknown, Full, Overloaded int
	Cuts, CutsWithSpill, Aside, Duplicates, LateCommits, UnknownCommits, Drained                int
}

func (s *sightings) fields() map[string]*int {
	return map[string]*int{
		"calls": &s.Calls, "stored": &s.Stored, "spilled": &s.Spilled, "twins": &s.Twins, "spilled twins": &s.SpilledTwins,
		"mismatched": &s.Mismatched, "refused": &s.Refused, "unknown": &s.Unknown, "full": &s.Full, "overloaded": &s.Overloaded,
		"cuts": &s.Cuts, "cuts with a spill": &s.CutsWithSpill, "quarantine": &s.Aside, "duplicates": &s.Duplicates,
		"late commits": &s.LateCommits, "commits of unknown outcome": &s.UnknownCommits, "drained": &s.Drained,
	}
}

func (s *sightings) add(other *sightings) {
	for name, n := range s.fields() {
		*n += *other.fields()[name]
	}
}

func (s *sightings) missing() (names []string) {
	for name, n := range s.fields() {
		if *n == 0 && (name != "unknown" || long()) { // so rare that it has a test of its own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// entryOf is one message in the ledger. Its times are counted, not measured.
type entryOf struct {
	id        esh3ar.MessageID
	recipient esh3ar.Recipient
	poisoned  bool
	begun     int
	answered  int // yes; zero: never
	spilled   bool
	denied    error // a definite no
	contested bool  // another node may have its key
}

// world is everything of one simulation.
type world struct {
	*testing.T
	seed  uint64
	seen  sightings
	store *troubled
	disk  *vfs.MemFS
	opts  spill.Options

	mu      sync.Mutex
	rng     *rand.Rand
	now     int // counts what is seen from outside
	ledger  map[esh3ar.MessageID]*entryOf
	answers map[string][][]esh3ar.MessageID // by idempotency key
	hints   map[esh3ar.Recipient]esh3ar.Seq
	node    *life
	inside  bool // of Publish
	key     int
}

// life is the node between two power cuts.
type life struct {
	in    *ingest.Intake
	kept  *spill.Spill
	drain *spill.Drainer
	over  chan struct{} // closed by the cut
	stop  func()
}

const simulated = 40 * time.Second

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewCrashableMem(), ledger: map[esh3ar.MessageID]*entryOf{},
		answers: map[string][][]esh3ar.MessageID{}, hints: map[esh3ar.Recipient]esh3ar.Seq{},
	}
	w.store = newTroubled(w)
	w.opts = spill.Options{MemTable: 64 << 10, MaxBytes: []int64{6 << 10, 1 << 20, 1 << 30}[seed%3]}
	return w
}

// draw asks the randomness of the world; everybody shares it.
func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *world) sleep(most time.Duration) { time.Sleep(time.Duration(w.draw(int(most)))) }

// tick moves the count on.
func (w *world) tick() int {
	w.now++
	return w.now
}

// start begins a life of the node on what the disk holds.
func (w *world) start() *life {
	opts := w.opts
	opts.FS = w.disk
	kept, err := spill.Open("spill", opts)
	if err != nil {
		w.Fatal(err)
	}
	l := &life{kept: kept, over: make(chan struct{})}
	store := &link{to: w.store, life: l}
	l.in = ingest.New(store, &publisherOf{w, l}, ingest.Options{
		LaneMessages: 16, BatchMessages: 4, Linger: time.Millisecond, LaneTimeout: time.Second, StoreTimeout: 300 * time.Millisecond,
		LaneMemory: 12 << 10, Spill: kept,
	})
	l.drain = spill.NewDrainer(kept, store, spill.DrainOptions{
		OnStored: l.in.OnDrained, OnResult: l.in.OnDrainResult, AppendTimeout: time.Second, MinPause: 20 * time.Millisecond, MaxPause: 300 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{l.in.Run, l.drain.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	l.stop = func() {
		cancel()
		parts.Wait()
		if err := kept.Close(); err != nil {
			w.Error(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.node = l
	clear(w.hints)
	return l
}

// cut cuts the power of the node: what it does from now on nobody sees, and its disk keeps what was synced.
func (w *world) cut() {
	w.mu.Lock()
	old := w.node
	w.node = nil
	w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{})
	close(old.over)
	w.seen.Cuts++
	if old.kept.Calls() > 0 {
		w.seen.CutsWithSpill++
	}
	w.mu.Unlock()
	s := old.kept.Stats()
	w.seen.Drained += int(s.Drained)
	old.stop()
}

func (w *world) run() {
	w.start()
	done := make(chan struct{})
	var parts, callers sync.WaitGroup
	parts.Go(func() { w.store.weather(done) })
	parts.Go(func() { w.powerCuts(done) })
	for c := range 12 {
		callers.Go(func() { w.caller(c, done) })
	}
	time.Sleep(simulated)
	close(done)
	callers.Wait()
	parts.Wait()
	w.store.set(fine)
	w.settle()
}

// settle waits until all that can be drained is, and stops the node.
func (w *world) settle() {
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if w.node.kept.Calls() == 0 {
			break
		}
	}
	time.Sleep(5 * time.Second) // late commits
	if n := w.node.kept.Calls(); n > 0 {
		w.Errorf("%d calls are still in the spill", n)
	}
	err := w.node.kept.Quarantine(func(q spill.Quarantined) bool {
		w.seen.Aside++
		for _, m := range q.Call.Messages {
			w.store.aside[m.ID] = true
		}
		return true
	})
	if err != nil {
		w.Error(err)
	}
	w.seen.Drained += int(w.node.kept.Stats().Drained)
	w.node.stop()
}

func (w *world) powerCuts(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(3000+w.draw(9000)) * time.Millisecond):
			w.cut()
			w.sleep(500 * time.Millisecond)
			w.start()
		}
	}
}

// caller sends one message after the other; what it sends after an answer must come after what was answered.
func (w *world) caller(n int, done <-chan struct{}) {
	business := esh3ar.NewBusinessID()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(w.draw(120)) * time.Millisecond):
		}
		c := w.compose(business, n)
		var twins sync.WaitGroup
		for c.Key != nil && w.draw(3) == 0 {
			twin := w.twinOf(c)
			twins.Go(func() { w.submit(twin) })
		}
		w.submit(c)
		twins.Wait()
		if c.Key != nil && w.draw(3) == 0 {
			w.submit(w.twinOf(c))
		}
	}
}

// compose makes a call: most with one message for the caller's usual recipient.
func (w *world) compose(business esh3ar.BusinessID, n int) *esh3ar.Call {
	c := &esh3ar.Call{Business: business}
	to := esh3ar.Recipient(n%4 + 1)
	if w.draw(8) == 0 {
		to = esh3ar.Recipient(100 + w.draw(30)) // hardly ever held
	}
	for range 1 + max(0, w.draw(12)-9) {
		c.Messages = append(c.Messages, w.message(business, to))
		to = esh3ar.Recipient(w.draw(4) + 1)
	}
	switch {
	case w.draw(3) > 0:
	case w.draw(8) == 0:
		c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint("contested-", w.draw(40))}
	default:
		w.mu.Lock()
		w.key++
		c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint("key-", w.key)}
		w.mu.Unlock()
	}
	if c.Key != nil {
		c.Key.ExpiresAt = esh3ar.TimeOf(time.Now().Add(24 * time.Hour))
	}
	return c
}

func (w *world) message(business esh3ar.BusinessID, to esh3ar.Recipient) *esh3ar.Message {
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, Recipient: to, Priority: esh3ar.Priority(w.draw(esh3ar.Priorities)), Content: "good"}
	if w.draw(60) == 0 {
		m.Content = poisoned
	}
	return m
}

// twinOf is the call again, as a client that tries again sends it: with new ids. One in five is another call.
func (w *world) twinOf(c *esh3ar.Call) *esh3ar.Call {
	key := *c.Key
	if w.draw(5) == 0 {
		key.Fingerprint[0] = 1
	}
	twin := &esh3ar.Call{Business: c.Business, Key: &key}
	for _, m := range c.Messages {
		one := *m
		one.ID = esh3ar.NewMessageID()
		twin.Messages = append(twin.Messages, &one)
	}
	return twin
}

// submit sends a call to the node that is up and writes down what was answered.
func (w *world) submit(c *esh3ar.Call) {
	w.mu.Lock()
	node := w.node
	if node == nil {
		w.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return
	}
	w.seen.Calls++
	begun := w.tick()
	contested := c.Key != nil && isContested(c.Key.Key)
	for _, m := range c.Messages {
		w.ledger[m.ID] = &entryOf{id: m.ID, recipient: m.Recipient, begun: begun, poisoned: m.Content == poisoned, contested: contested}
	}
	w.mu.Unlock()
	answer, err := node.in.Submit(context.Background(), c)
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-node.over:
		return // nobody heard it
	default:
	}
	switch {
	case err == nil:
		w.accepted(c, &answer)
	case esh3ar.CodeOf(err) == esh3ar.OutcomeUnknown:
		w.seen.Unknown++
	default:
		w.refused(c, err)
	}
}

func isContested(key string) bool { return len(key) > 10 && key[:10] == "contested-" }

func (w *world) refused(c *esh3ar.Call, err error) {
	switch esh3ar.CodeOf(err) {
	case esh3ar.StorageFull:
		w.seen.Full++
	case esh3ar.Overloaded:
		w.seen.Overloaded++
	default:
		w.seen.Refused++
	}
	for _, m := range c.Messages {
		w.ledger[m.ID].denied = err
	}
}

func (w *world) accepted(c *esh3ar.Call, a *esh3ar.Answer) {
	w.count(a)
	if a.Outcome == esh3ar.Mismatched {
		for _, m := range c.Messages {
			w.ledger[m.ID].denied = errors.New("mismatched")
		}
		return
	}
	at := w.tick()
	var ids []esh3ar.MessageID
	for i, r := range a.Receipts {
		ids = append(ids, r.ID)
		if a.Outcome == esh3ar.Stored && (r.ID != c.Messages[i].ID || a.Spilled != (r.Seq == 0)) {
			w.Errorf("receipt %+v of a call that was stored (spilled: %t)", r, a.Spilled)
		}
		if e := w.ledger[r.ID]; e != nil && e.answered == 0 {
			e.answered, e.spilled = at, a.Spilled
		} else if e == nil && !isContested(c.Key.Key) {
			w.Errorf("an answer names %s, which nobody sent", r.ID)
		}
	}
	if c.Key == nil || isContested(c.Key.Key) {
		return
	}
	w.sameAgain(c.Key.Key, a, ids)
}

// sameAgain: twins are answered alike. Only where the store has the first call already and cannot be asked may a twin be
// taken for a new call; it ends as a duplicate. A twin of that one may have its answer before it has its own.
func (w *world) sameAgain(key string, a *esh3ar.Answer, ids []esh3ar.MessageID) {
	known := w.answers[key]
	if slices.ContainsFunc(known, func(before []esh3ar.MessageID) bool { return slices.Equal(before, ids) }) {
		return
	}
	w.answers[key] = append(known, ids)
	for _, before := range known {
		if !a.Spilled || !w.store.has(before[0]) {
			w.Errorf("key %s was answered %v and %v (%+v)", key, before, ids, a)
		}
	}
}

func (w *world) count(a *esh3ar.Answer) {
	switch {
	case a.Outcome == esh3ar.Mismatched:
		w.seen.Mismatched++
	case a.Outcome == esh3ar.Replayed && a.Spilled:
		w.seen.SpilledTwins++
	case a.Outcome == esh3ar.Replayed:
		w.seen.Twins++
	case a.Spilled:
		w.seen.Spilled++
	default:
		w.seen.Stored++
	}
}

// publisherOf holds what is published against what is stored.
type publisherOf struct {
	w    *world
	life *life
}

func (p *publisherOf) Publish(stored []*esh3ar.Message) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inside {
		w.Error("two publish at once")
	}
	if w.node != p.life {
		return // of a life that is over
	}
	w.inside = true
	defer func() { w.inside = false }()
	for _, m := range stored {
		if w.hints[m.Recipient] >= m.Seq {
			w.Errorf("seq %d of %s was published after %d", m.Seq, m.Recipient, w.hints[m.Recipient])
		}
		w.hints[m.Recipient] = m.Seq
	}
}

// verdict holds the ledger against the store.
func (w *world) verdict() {
	synctest.Wait() // a commit that comes late may still be at it
	for id, e := range w.ledger {
		times, canceled, aside := w.store.times[id], w.store.canceled[id], w.store.aside[id]
		switch {
		case times > 1:
			w.Errorf("message %s is stored %d times", id, times)
		case e.denied != nil && (times > 0 || aside):
			w.Errorf("message %s was refused (%v) and is there (stored %d, quarantine %t)", id, e.denied, times, aside)
		case e.answered > 0 && times == 0 && !aside:
			w.Errorf("message %s was answered (spilled: %t) and is lost", id, e.spilled)
		case e.answered > 0 && canceled && !e.spilled:
			w.Errorf("message %s was answered as stored, and canceled", id)
		case aside && !w.store.poisonedCall[id]:
			w.Errorf("message %s is in quarantine and was good", id)
		}
		if canceled {
			w.seen.Duplicates++
		}
	}
	for r, ids := range w.store.inbox {
		w.order(r, ids)
	}
}

// order: nothing that began after another was answered may lie before it.
func (w *world) order(r esh3ar.Recipient, ids []esh3ar.MessageID) {
	earliest, of := w.now+1, esh3ar.MessageID{} // answered, of those that lie behind
	for _, id := range slices.Backward(ids) {
		e := w.ledger[id]
		if e == nil {
			continue // another node's
		}
		if earliest < e.begun {
			w.Errorf("recipient %d: %s lies before %s, and began after that was answered", r, id, of)
		}
		if e.answered > 0 && e.answered < earliest {
			earliest, of = e.answered, id
		}
	}
}
