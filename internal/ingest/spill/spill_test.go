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

// rig is a spill on a disk that forgets what was not synced.
type rig struct {
	*testing.T
	*spill.Spill
	disk *vfs.MemFS
	opts spill.Options
}

func newRig(t *testing.T, opts spill.Options) *rig {
	t.Helper()
	r := &rig{T: t, disk: vfs.NewCrashableMem(), opts: opts}
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	opts := r.opts
	opts.FS, opts.MemTable = r.disk, 256<<10
	var err error
	if r.Spill, err = spill.Open("spill", opts); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.Spill.Close() })
}

// cut cuts the power and opens what the disk kept.
func (r *rig) cut() {
	r.Helper()
	r.disk = r.disk.CrashClone(vfs.CrashCloneCfg{})
	_ = r.Spill.Close()
	r.open()
}

func (r *rig) reopen() {
	r.Helper()
	if err := r.Spill.Close(); err != nil {
		r.Fatal(err)
	}
	r.open()
}

func (r *rig) keep(calls ...*esh3ar.Call) []esh3ar.Answer {
	r.Helper()
	answers, err := r.Append(r.Context(), calls)
	if err != nil || len(answers) != len(calls) {
		r.Fatalf("%d answers to %d calls, %v", len(answers), len(calls), err)
	}
	return answers
}

func (r *rig) quarantine() (all []spill.Quarantined) {
	r.Helper()
	if err := r.Quarantine(func(q spill.Quarantined) bool { all = append(all, q); return true }); err != nil {
		r.Fatal(err)
	}
	return all
}

func (r *rig) wantCode(err error, code esh3ar.Code) {
	r.Helper()
	if err == nil || esh3ar.CodeOf(err) != code {
		r.Errorf("%v, want %s", err, code)
	}
}

// shop is a store in memory. It has what it took, in order, and says no when asked to.
type shop struct {
	mu       sync.Mutex
	contents []string
	ids      map[esh3ar.MessageID]bool
	keys     map[string]bool
	seqs     map[esh3ar.Recipient]esh3ar.Seq
	batches  int
	refuse   func(calls []*esh3ar.Call) error // nil: nothing
	answer   func(calls []*esh3ar.Call) ([]esh3ar.Answer, error)
}

func newShop() *shop {
	return &shop{ids: map[esh3ar.MessageID]bool{}, keys: map[string]bool{}, seqs: map[esh3ar.Recipient]esh3ar.Seq{}}
}

func (s *shop) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
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
		answers[i] = s.takeLocked(c)
	}
	return answers, nil
}

func (s *shop) takeLocked(c *esh3ar.Call) (a esh3ar.Answer) {
	if !c.Drained {
		panic("a call that is not marked as drained")
	}
	switch {
	case s.ids[c.Messages[0].ID]:
		a.Outcome = esh3ar.Replayed
	case c.Key != nil && s.keys[c.Key.Key]:
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

func (s *shop) want(t *testing.T, contents ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.contents, contents) {
		t.Errorf("stored %v, want %v", s.contents, contents)
	}
}

// poison refuses whatever holds a message of this content, with this error.
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

func TestAnswersAreThoseOfACallWithoutSeq(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	now, later := message(alice, "now"), message(bob, "later")
	now.CorrelationID = "c-1"
	later.SendAt = later.CreatedAt().Add(time.Hour)
	c := call(now, later)
	c.Batch = esh3ar.NewBatchID()
	a := r.keep(c)[0]
	want := []esh3ar.Receipt{
		{ID: now.ID, Status: esh3ar.Queued, Recipient: alice, CorrelationID: "c-1"},
		{ID: later.ID, Status: esh3ar.Scheduled, Recipient: bob},
	}
	if a.Outcome != esh3ar.Stored || !a.Spilled || a.Batch != c.Batch || !slices.Equal(a.Receipts, want) {
		t.Errorf("%+v", a)
	}
	s := r.Stats()
	if s.Calls != 1 || s.Messages != 2 || s.Recipients != 2 || s.Bytes < 100 || s.Oldest != now.CreatedAt() || s.Spilled != 2 {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		r     esh3ar.Recipient
		ahead int
	}{{alice, 1}, {bob, 1}, {bob + 1, 0}} {
		if got := r.Backlog(call(message(bob+1, "x"), message(c.r, "x"))); got != c.ahead {
			t.Errorf("%d ahead of %s, want %d", got, c.r, c.ahead)
		}
	}
}

func TestWhatWasAnsweredOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	var want []string
	for _, content := range []string{"a", "b", "c", "d"} {
		first := r.keep(keyed(call(message(alice, content)), content, 1))[0]
		want = append(want, content)
		r.cut()
		if twin, ok, err := r.KnownKey(keyed(call(message(alice, content)), content, 1)); !ok || err != nil || twin.Receipts[0] != first.Receipts[0] {
			t.Errorf("twin after the cut: %+v, %t, %v", twin, ok, err)
		}
	}
	if s := r.Stats(); s.Calls != 4 || s.Messages != 4 || s.Recipients != 1 || s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	store := newShop()
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.want(t, want...)
	r.reopen()
	if s := r.Stats(); s.Calls != 0 || s.Bytes != 0 || s.Recipients != 0 || !s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestTwins(t *testing.T) {
	t.Parallel()
	var clock int64 = 1_800_000_000_000
	r := newRig(t, spill.Options{Now: func() time.Time { return time.UnixMilli(clock) }})
	fresh := func(key string, fingerprint byte) *esh3ar.Call {
		c := keyed(call(message(alice, "x"), message(bob, "y")), key, fingerprint)
		c.Batch, c.Key.ExpiresAt = esh3ar.NewBatchID(), esh3ar.Time(clock)+1000
		return c
	}
	first := fresh("k", 1)
	stored := r.keep(first)[0]
	same := func(what string, a esh3ar.Answer) {
		t.Helper()
		if a.Outcome != esh3ar.Replayed || !a.Spilled || a.Batch != first.Batch || !slices.Equal(a.Receipts, stored.Receipts) {
			t.Errorf("%s: %+v", what, a)
		}
	}
	same("in a later batch", r.keep(fresh("k", 1))[0])
	answers := r.keep(fresh("k2", 1), fresh("k2", 1), fresh("k2", 2), fresh("k", 1))
	if answers[1].Outcome != esh3ar.Replayed || !slices.Equal(answers[1].Receipts, answers[0].Receipts) || answers[2].Outcome != esh3ar.Mismatched {
		t.Errorf("in the same batch: %+v", answers)
	}
	same("beside others", answers[3])
	if a, ok, err := r.KnownKey(fresh("k", 2)); a.Outcome != esh3ar.Mismatched || !ok || err != nil {
		t.Errorf("another call: %+v %t %v", a, ok, err)
	}
	other := fresh("k", 2)
	other.Business = esh3ar.NewBusinessID()
	if _, ok, _ := r.KnownKey(other); ok {
		t.Error("another business's key is known")
	}
	if s := r.Stats(); s.Calls != 2 {
		t.Errorf("%d calls, want 2", s.Calls)
	}
	clock += 1000
	if _, ok, _ := r.KnownKey(fresh("k", 2)); ok {
		t.Error("an expired key is known")
	}
	again := r.keep(fresh("k", 2))[0]
	if again.Outcome != esh3ar.Stored {
		t.Errorf("a new call with an expired key: %+v", again)
	}
	store := newShop()
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := r.KnownKey(fresh("k", 2)); ok {
		t.Error("a drained call's key is known")
	}
}

// TestTheSecondCallOfAKeyKeepsItWhenTheFirstGoes: the first one had expired while it waited.
func TestTheSecondCallOfAKeyKeepsItWhenTheFirstGoes(t *testing.T) {
	t.Parallel()
	var clock int64 = 1_800_000_000_000
	r := newRig(t, spill.Options{Now: func() time.Time { return time.UnixMilli(clock) }})
	fresh := func(content string, fingerprint byte) *esh3ar.Call {
		c := keyed(call(message(alice, content)), "k", fingerprint)
		c.Key.ExpiresAt = esh3ar.Time(clock) + 1000
		return c
	}
	r.keep(fresh("first", 1))
	clock += 1000
	second := r.keep(fresh("second", 2))[0]
	store := newShop()
	store.refuse = func(calls []*esh3ar.Call) error {
		if len(store.contents) == 1 {
			return esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
		}
		return nil
	}
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err == nil {
		t.Error("no error")
	}
	store.want(t, "first") // alone: a key comes once in a batch
	if a, ok, err := r.KnownKey(fresh("twin", 2)); !ok || err != nil || a.Receipts[0].ID != second.Receipts[0].ID {
		t.Errorf("%+v %t %v", a, ok, err)
	}
}

func TestAFullSpillRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{MaxBytes: 1000})
	first := keyed(call(message(alice, strings.Repeat("x", 700))), "k", 1)
	r.keep(first)
	_, err := r.Append(t.Context(), []*esh3ar.Call{call(message(bob, strings.Repeat("x", 700)))})
	r.wantCode(err, esh3ar.StorageFull)
	var e *esh3ar.Error
	if !errors.As(err, &e) || e.RetryAfter < time.Second {
		t.Errorf("%v does not say when to come again", err)
	}
	if a := r.keep(keyed(call(message(alice, "twin")), "k", 1))[0]; a.Outcome != esh3ar.Replayed {
		t.Errorf("a twin needs no room: %+v", a)
	}
	if r.Backlog(call(message(bob, "x"))) != 0 || r.Stats().Full != 1 {
		t.Errorf("what was refused counts: %+v", r.Stats())
	}
	if err := spill.NewDrainer(r.Spill, newShop(), spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.keep(call(message(bob, strings.Repeat("x", 700))))
}

func TestANearlyFullDiskRefuses(t *testing.T) {
	t.Parallel()
	s, err := spill.Open(t.TempDir(), spill.Options{Reserve: diskguard.ReserveBytes(1 << 62)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); esh3ar.CodeOf(err) != esh3ar.StorageFull {
		t.Error(err)
	}
}

// TestLeaksNothing opens, uses and closes a spill. TestMain cannot ask for this: one that a fault stopped parks goroutines
// for good.
func TestLeaksNothing(t *testing.T) {
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
	go func() { ended <- spill.NewDrainer(s, newShop(), spill.DrainOptions{}).Run(ctx) }()
	stop()
	if err := errors.Join(<-ended, s.Close()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spill.Open(dir, spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := spill.Open(dir, spill.Options{}); !errors.Is(err, diskguard.ErrInUse) {
		t.Errorf("%v", err)
	}
}

func TestAClosedSpillAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	c := keyed(call(message(alice, "x")), "k", 1)
	r.keep(c)
	if err := errors.Join(r.Spill.Close(), r.Spill.Close()); err != nil {
		t.Error(err)
	}
	_, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))})
	r.wantCode(err, esh3ar.StoreUnavailable)
	_, _, err = r.KnownKey(c)
	r.wantCode(err, esh3ar.StoreUnavailable)
	r.wantCode(r.Quarantine(func(spill.Quarantined) bool { return true }), esh3ar.StoreUnavailable)
	r.wantCode(spill.NewDrainer(r.Spill, newShop(), spill.DrainOptions{}).Drain(t.Context()), esh3ar.StoreUnavailable)
	if s := r.Stats(); s.Calls != 1 {
		t.Errorf("%+v", s)
	}
}

// TestASpillIsOfOneCluster: what waits for one database is not given to another, which would take it and show it to nobody.
func TestASpillIsOfOneCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	for _, cluster := range []string{"a", "b", "a"} { // empty it may be anybody's
		if err := r.Claim(cluster); err != nil {
			t.Fatalf("an empty spill, for %s: %v", cluster, err)
		}
	}
	if _, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); err != nil {
		t.Fatal(err)
	}
	r.cut()
	if err := r.Claim("b"); !errors.Is(err, spill.ErrOtherCluster) {
		t.Errorf("a call of another cluster: %v", err)
	}
	if err := r.Claim("a"); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// TestASpillOfNoCluster was written by a version that did not say whose it is: it is whose it is opened for.
func TestASpillOfNoCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	if _, err := r.Append(t.Context(), []*esh3ar.Call{call(message(alice, "x"))}); err != nil {
		t.Fatal(err)
	}
	if err := r.Claim("a"); err != nil {
		t.Error(err)
	}
	if err := r.Claim("b"); !errors.Is(err, spill.ErrOtherCluster) {
		t.Errorf("from then on: %v", err)
	}
}
