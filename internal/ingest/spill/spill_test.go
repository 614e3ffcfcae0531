package spill_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

const (
	alice esh3ar.Recipient = 967770000001
	bob   esh3ar.Recipient = 967770000002
)

var business = esh3ar.NewBusinessID()

func message(r esh3ar.Recipient, content string) *esh3ar.Message {
	return &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, From: "shop", Recipient: r, Priority: esh3ar.Normal, Content: content}
}

func call(messages ...*esh3ar.Message) *esh3ar.Call {
	return &esh3ar.Call{Business: business, Messages: messages}
}

func keyed(c *esh3ar.Call, key string, fingerprint byte) *esh3ar.Call {
	c.Key = &esh3ar.IdempotencyKey{Key: key, Fingerprint: [32]byte{fingerprint}, ExpiresAt: esh3ar.TimeOf(time.Now()).Add(24 * time.Hour)}
	return c
}

// fixture is a spill on a disk that loses unsynced data in a power cut.
type fixture struct {
	*testing.T
	*spill.Spill
	disk *vfs.MemFS
	opts spill.Options
}

func newFixture(t *testing.T, opts spill.Options) *fixture {
	t.Helper()
	r := &fixture{T: t, disk: vfs.NewCrashableMem(), opts: opts}
	r.open()
	return r
}

func (r *fixture) open() {
	r.Helper()
	opts := r.opts
	opts.FS, opts.MemTable = r.disk, 256<<10
	var err error
	if r.Spill, err = spill.Open("spill", opts); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.Spill.Close() })
}

// cut cuts the power and opens the spill again from what was synced.
func (r *fixture) cut() {
	r.Helper()
	r.disk = r.disk.CrashClone(vfs.CrashCloneCfg{})
	_ = r.Spill.Close()
	r.open()
}

func (r *fixture) reopen() {
	r.Helper()
	if err := r.Spill.Close(); err != nil {
		r.Fatal(err)
	}
	r.open()
}

// add appends calls that must be accepted.
func (r *fixture) add(calls ...*esh3ar.Call) []esh3ar.Answer {
	r.Helper()
	answers, err := r.Append(r.Context(), calls)
	if err != nil || len(answers) != len(calls) {
		r.Fatalf("Append: got %d answers and %v, want %d answers", len(answers), err, len(calls))
	}
	return answers
}

func (r *fixture) quarantine() []spill.Quarantined {
	var all []spill.Quarantined
	r.Helper()
	if err := r.Quarantine(func(q spill.Quarantined) bool { all = append(all, q); return true }); err != nil {
		r.Fatal(err)
	}
	return all
}

func (r *fixture) wantCode(err error, code esh3ar.Code) {
	r.Helper()
	if err == nil || esh3ar.CodeOf(err) != code {
		r.Errorf("got %v, want %s", err, code)
	}
}

// memoryStore is a store in memory that records contents in order and fails on request.
type memoryStore struct {
	mu       sync.Mutex
	contents []string
	ids      map[esh3ar.MessageID]bool
	keys     map[string]bool
	seqs     map[esh3ar.Recipient]esh3ar.Seq
	batches  int
	refuse   func(calls []*esh3ar.Call) error                    // error of the next Append; nil if none fails
	answer   func(calls []*esh3ar.Call) ([]esh3ar.Answer, error) // replaces the answers; nil if not
}

func newMemoryStore() *memoryStore {
	return &memoryStore{ids: map[esh3ar.MessageID]bool{}, keys: map[string]bool{}, seqs: map[esh3ar.Recipient]esh3ar.Seq{}}
}

func (s *memoryStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	if s.refuse != nil {
		if err := s.refuse(calls); err != nil {
			return nil, err
		}
	}
	if s.answer != nil {
		return s.answer(calls)
	}
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		answers[i] = s.storeLocked(c)
	}
	return answers, nil
}

func (s *memoryStore) storeLocked(c *esh3ar.Call) esh3ar.Answer {
	var a esh3ar.Answer
	if !c.Drained {
		panic("got a call that is not marked as drained")
	}
	if s.ids[c.Messages[0].ID] {
		a.Outcome = esh3ar.Replayed
	} else if c.Key != nil && s.keys[c.Key.Key] {
		a.Outcome = esh3ar.Duplicate
	}
	for _, m := range c.Messages {
		s.ids[m.ID] = true
		a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID})
		if a.Outcome == esh3ar.Stored {
			s.seqs[m.Recipient]++
			m.Seq = s.seqs[m.Recipient]
			s.contents = append(s.contents, m.Content)
		}
	}
	if c.Key != nil {
		s.keys[c.Key.Key] = true
	}
	return a
}

func (s *memoryStore) want(t *testing.T, contents ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.contents, contents) {
		t.Errorf("got stored %v, want %v", s.contents, contents)
	}
}

// poison returns a function that fails with err for batches that hold a message with this content.
func poison(content string, err error) func([]*esh3ar.Call) error {
	return func(calls []*esh3ar.Call) error {
		if slices.ContainsFunc(calls, func(c *esh3ar.Call) bool {
			return slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return m.Content == content })
		}) {
			return err
		}
		return nil
	}
}

func TestAppend_Answer_HasReceiptsWithoutSeq(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	now, later := message(alice, "now"), message(bob, "later")
	now.CorrelationID = "c-1"
	later.SendAt = later.CreatedAt().Add(time.Hour)
	c := call(now, later)
	c.Batch = esh3ar.NewBatchID()
	a := r.add(c)[0]
	want := []esh3ar.Receipt{
		{ID: now.ID, Status: esh3ar.Queued, Recipient: alice, CorrelationID: "c-1"},
		{ID: later.ID, Status: esh3ar.Scheduled, Recipient: bob},
	}
	if a.Outcome != esh3ar.Stored || !a.Spilled || a.Batch != c.Batch || !slices.Equal(a.Receipts, want) {
		t.Errorf("got %+v, want it stored and spilled with receipts %+v", a, want)
	}
	s := r.Stats()
	if s.Calls != 1 || s.Messages != 2 || s.Recipients != 2 || s.Bytes < 100 || s.Oldest != now.CreatedAt() || s.Spilled != 2 {
		t.Errorf("got stats %+v, want 1 call with 2 messages of 2 recipients", s)
	}
	for _, c := range []struct {
		r    esh3ar.Recipient
		want int
	}{{alice, 1}, {bob, 1}, {bob + 1, 0}} {
		if got := r.Backlog(call(message(bob+1, "x"), message(c.r, "x"))); got != c.want {
			t.Errorf("Backlog of %s: got %d, want %d", c.r, got, c.want)
		}
	}
}

func TestAppend_PowerCutAfterAnswer_KeepsCall(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	var want []string
	for _, content := range []string{"a", "b", "c", "d"} {
		first := r.add(keyed(call(message(alice, content)), content, 1))[0]
		want = append(want, content)
		r.cut()
		if got, ok, err := r.KnownKey(keyed(call(message(alice, content)), content, 1)); !ok || err != nil || got.Receipts[0] != first.Receipts[0] {
			t.Errorf("KnownKey after the cut: got %+v, %t, %v, want the first receipt", got, ok, err)
		}
	}
	if s := r.Stats(); s.Calls != 4 || s.Messages != 4 || s.Recipients != 1 || s.Oldest.IsZero() {
		t.Errorf("got stats %+v, want 4 calls of 1 recipient", s)
	}
	store := newMemoryStore()
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.want(t, want...)
	r.reopen()
	if s := r.Stats(); s.Calls != 0 || s.Bytes != 0 || s.Recipients != 0 || !s.Oldest.IsZero() {
		t.Errorf("after the drain: got stats %+v, want an empty spill", s)
	}
}

func TestSpill_RepeatedKey_AnswersLikeTheFirstCall(t *testing.T) {
	t.Parallel()
	var clock int64 = 1_800_000_000_000
	r := newFixture(t, spill.Options{Now: func() time.Time { return time.UnixMilli(clock) }})
	fresh := func(key string, fingerprint byte) *esh3ar.Call {
		c := keyed(call(message(alice, "x"), message(bob, "y")), key, fingerprint)
		c.Batch, c.Key.ExpiresAt = esh3ar.NewBatchID(), esh3ar.Time(clock)+1000
		return c
	}
	first := fresh("k", 1)
	stored := r.add(first)[0]
	wantReplay := func(what string, a esh3ar.Answer) {
		t.Helper()
		if a.Outcome != esh3ar.Replayed || !a.Spilled || a.Batch != first.Batch || !slices.Equal(a.Receipts, stored.Receipts) {
			t.Errorf("%s: got %+v, want the answer of the first call", what, a)
		}
	}
	wantReplay("in a later batch", r.add(fresh("k", 1))[0])
	answers := r.add(fresh("k2", 1), fresh("k2", 1), fresh("k2", 2), fresh("k", 1))
	if answers[1].Outcome != esh3ar.Replayed || !slices.Equal(answers[1].Receipts, answers[0].Receipts) || answers[2].Outcome != esh3ar.Mismatched {
		t.Errorf("in the same batch: got %+v, want stored, replayed, mismatched, replayed", answers)
	}
	wantReplay("in a batch with others", answers[3])
	if a, ok, err := r.KnownKey(fresh("k", 2)); a.Outcome != esh3ar.Mismatched || !ok || err != nil {
		t.Errorf("other fingerprint: got %+v, %t, %v, want mismatched", a, ok, err)
	}
	other := fresh("k", 2)
	other.Business = esh3ar.NewBusinessID()
	if _, ok, _ := r.KnownKey(other); ok {
		t.Error("key of another business: got known, want unknown")
	}
	if s := r.Stats(); s.Calls != 2 {
		t.Errorf("got %d calls, want 2", s.Calls)
	}
	clock += 1000
	if _, ok, _ := r.KnownKey(fresh("k", 2)); ok {
		t.Error("expired key: got known, want unknown")
	}
	again := r.add(fresh("k", 2))[0]
	if again.Outcome != esh3ar.Stored {
		t.Errorf("new call with an expired key: got %+v, want stored", again)
	}
	store := newMemoryStore()
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := r.KnownKey(fresh("k", 2)); ok {
		t.Error("key of a drained call: got known, want unknown")
	}
}

// TestDrain_KeyReusedAfterExpiry_StaysWithSecondCall: the key of the first call expired in the spill and a second call uses it. Draining the
// first must not delete the key.
func TestDrain_KeyReusedAfterExpiry_StaysWithSecondCall(t *testing.T) {
	t.Parallel()
	var clock int64 = 1_800_000_000_000
	r := newFixture(t, spill.Options{Now: func() time.Time { return time.UnixMilli(clock) }})
	fresh := func(content string, fingerprint byte) *esh3ar.Call {
		c := keyed(call(message(alice, content)), "k", fingerprint)
		c.Key.ExpiresAt = esh3ar.Time(clock) + 1000
		return c
	}
	r.add(fresh("first", 1))
	clock += 1000
	second := r.add(fresh("second", 2))[0]
	store := newMemoryStore()
	store.refuse = func(calls []*esh3ar.Call) error {
		if len(store.contents) == 1 {
			return esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
		}
		return nil
	}
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err == nil {
		t.Error("Drain: got nil, want the error of the store")
	}
	store.want(t, "first") // alone: a batch holds a key once
	if a, ok, err := r.KnownKey(fresh("repeat", 2)); !ok || err != nil || a.Receipts[0].ID != second.Receipts[0].ID {
		t.Errorf("KnownKey: got %+v, %t, %v, want the second call", a, ok, err)
	}
}

func TestAppend_Full_AnswersStorageFull(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{MaxBytes: 1000})
	first := keyed(call(message(alice, strings.Repeat("x", 700))), "k", 1)
	r.add(first)
	_, err := r.Append(t.Context(), []*esh3ar.Call{call(message(bob, strings.Repeat("x", 700)))})
	r.wantCode(err, esh3ar.StorageFull)
	var e *esh3ar.Error
	if !errors.As(err, &e) || e.RetryAfter < time.Second {
		t.Errorf("got %v, want a Retry-After of at least 1s", err)
	}
	if a := r.add(keyed(call(message(alice, "repeat")), "k", 1))[0]; a.Outcome != esh3ar.Replayed {
		t.Errorf("repeated key in a full spill: got %+v, want replayed", a)
	}
	if r.Backlog(call(message(bob, "x"))) != 0 || r.Stats().Full != 1 {
		t.Errorf("got stats %+v, want no backlog of the refused call and Full 1", r.Stats())
	}
	if err := spill.NewDrainer(r.Spill, newMemoryStore(), spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.add(call(message(bob, strings.Repeat("x", 700))))
}

func TestAppend_DiskNearlyFull_AnswersStorageFull(t *testing.T) {
	t.Parallel()
	s, err := spill.Open(t.TempDir(), spill.Options{Reserve: diskguard.ReserveBytes(1 << 62)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); esh3ar.CodeOf(err) != esh3ar.StorageFull {
		t.Errorf("got %v, want storage_full", err)
	}
}

// TestSpill_OpenUseClose_LeaksNoGoroutine opens, uses and closes a spill. TestMain cannot check this for all tests: a fault parks
// goroutines for good.
func TestSpill_OpenUseClose_LeaksNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := spill.Open(t.TempDir(), spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); err != nil {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- spill.NewDrainer(s, newMemoryStore(), spill.DrainOptions{}).Run(ctx) }()
	stop()
	if err := errors.Join(<-ended, s.Close()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

func TestOpen_InUse_Fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spill.Open(dir, spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := spill.Open(dir, spill.Options{}); !errors.Is(err, diskguard.ErrInUse) {
		t.Errorf("second Open: got %v, want ErrInUse", err)
	}
}

func TestSpill_Closed_AnswersStoreUnavailable(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	c := keyed(call(message(alice, "x")), "k", 1)
	r.add(c)
	if err := errors.Join(r.Spill.Close(), r.Spill.Close()); err != nil {
		t.Error(err)
	}
	_, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))})
	r.wantCode(err, esh3ar.StoreUnavailable)
	_, _, err = r.KnownKey(c)
	r.wantCode(err, esh3ar.StoreUnavailable)
	r.wantCode(r.Quarantine(func(spill.Quarantined) bool { return true }), esh3ar.StoreUnavailable)
	r.wantCode(spill.NewDrainer(r.Spill, newMemoryStore(), spill.DrainOptions{}).Drain(t.Context()), esh3ar.StoreUnavailable)
	if s := r.Stats(); s.Calls != 1 {
		t.Errorf("got stats %+v, want 1 call", s)
	}
}

// TestClaim_CallsOfOtherCluster_Fails: calls for one database must not go to another, where their senders cannot find them.
func TestClaim_CallsOfOtherCluster_Fails(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	for _, cluster := range []string{"a", "b", "a"} { // while it is empty, any cluster may claim it
		if err := r.Claim(cluster); err != nil {
			t.Fatalf("claim an empty spill for %s: got %v, want nil", cluster, err)
		}
	}
	if _, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); err != nil {
		t.Fatal(err)
	}
	r.cut()
	if err := r.Claim("b"); !errors.Is(err, spill.ErrOtherCluster) {
		t.Errorf("claim for another cluster: got %v, want ErrOtherCluster", err)
	}
	if err := r.Claim("a"); err != nil {
		t.Errorf("claim for its own cluster: got %v, want nil", err)
	}
}

// TestClaim_NoClusterRecorded_Succeeds claims a spill of a version that recorded no cluster. The first claim decides.
func TestClaim_NoClusterRecorded_Succeeds(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	if _, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); err != nil {
		t.Fatal(err)
	}
	if err := r.Claim("a"); err != nil {
		t.Error(err)
	}
	if err := r.Claim("b"); !errors.Is(err, spill.ErrOtherCluster) {
		t.Errorf("second cluster: got %v, want ErrOtherCluster", err)
	}
}
