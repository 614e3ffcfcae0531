package spill_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

func TestDrain_ManyCalls_KeepsOrderAndContent(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	store, err := embedded.Open("store", embedded.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r := newFixture(t, spill.Options{})
	var sent []*esh3ar.Message
	for i := range 1300 { // more than two batches
		m := message(alice+esh3ar.Recipient(i%3), fmt.Sprint(i))
		m.Subject = "مرحبا"
		m.CorrelationID = "c"
		m.Priority = esh3ar.Priority(i % 4)
		m.Metadata = map[string]string{"n": fmt.Sprint(i)}
		m.TTL = time.Duration(1+i) * time.Second
		m.ExpiresAt = m.CreatedAt().Add(m.TTL)
		sent = append(sent, m)
		r.add(call(m))
	}
	var published []*esh3ar.Message
	drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnStored: func(stored []*esh3ar.Message) {
		for _, m := range stored {
			if r.Backlog(call(m)) == 0 {
				t.Errorf("message %s: got no backlog during OnStored, want it counted until it is published", m.ID)
			}
		}
		published = append(published, stored...)
	}})
	if err := drainer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(published) != len(sent) {
		t.Fatalf("got %d messages published, want %d", len(published), len(sent))
	}
	seqs := map[esh3ar.Recipient]esh3ar.Seq{}
	for i, m := range sent {
		seqs[m.Recipient]++
		record, err := store.Message(t.Context(), m.ID)
		if err != nil || record.Seq != seqs[m.Recipient] || published[i].ID != m.ID || published[i].Seq != record.Seq {
			t.Fatalf("message %d: got %v, seq %d, want seq %d; published %s with seq %d", i, err, record.Seq, seqs[m.Recipient], published[i].ID, published[i].Seq)
		}
		want := *m
		want.Seq = record.Seq
		if fmt.Sprint(record.Message) != fmt.Sprint(want) {
			t.Fatalf("got %+v, want %+v", record.Message, want)
		}
	}
	if s := r.Stats(); s.Calls != 0 || s.Drained != 1300 || s.Bytes != 0 {
		t.Errorf("got stats %+v, want an empty spill and 1300 drained", s)
	}
}

// TestDrain_PowerCutAfterAppend_StoresOnce cuts the power after every append to the store. The calls are sent again, and the store knows them.
func TestDrain_PowerCutAfterAppend_StoresOnce(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	store := newMemoryStore()
	var want []string
	for i := range 5 {
		for j := range 3 {
			content := fmt.Sprint(i, j)
			want = append(want, content)
			r.add(keyed(call(message(alice, content)), "k"+content, 1))
			if j > 0 {
				continue
			}
			r.add(call(message(bob, content+"b")))
			want = append(want, content+"b")
		}
		drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnStored: func([]*esh3ar.Message) {
			r.disk = r.disk.CrashClone(vfs.CrashCloneCfg{}) // the store has the calls, and the spill still has them too
		}})
		if err := drainer.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = r.Spill.Close()
		r.open()
		if r.Calls() == 0 {
			t.Fatal("got an empty spill after the cut, want the calls that the store has")
		}
	}
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.want(t, want...)
}

func TestDrain_UnknownOutcome_SendsAgain(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	r.add(call(message(alice, "a")), call(message(alice, "b")))
	store := newMemoryStore()
	store.answer = func(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
		for _, c := range calls {
			store.storeLocked(c)
		}
		store.answer = nil
		return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "cut off")
	}
	var results []error
	drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnResult: func(err error) { results = append(results, err) }})
	r.wantCode(drainer.Drain(t.Context()), esh3ar.OutcomeUnknown)
	if r.Calls() != 2 {
		t.Errorf("got %d calls in the spill, want 2", r.Calls())
	}
	if err := drainer.Drain(t.Context()); err != nil || r.Calls() != 0 {
		t.Errorf("second Drain: got %v and %d calls in the spill, want nil and 0", err, r.Calls())
	}
	store.want(t, "a", "b")
	if len(results) != 2 || results[0] == nil || results[1] != nil {
		t.Errorf("OnResult: got %v, want an error and nil", results)
	}
}

func TestDrain_RefusedMessage_DoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		passes int // passes until the message is in quarantine
	}{
		"refused for its data":        {esh3ar.Errorf(esh3ar.Invalid, "no such character"), 1},
		"unclassified error":          {errors.New("what"), 1},
		"reported as outage":          {esh3ar.Errorf(esh3ar.StoreUnavailable, "23505"), 11},
		"reported as unknown outcome": {esh3ar.Errorf(esh3ar.OutcomeUnknown, "reset"), 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, spill.Options{})
			var want []string
			for i := range 40 {
				content := fmt.Sprint(i)
				if i == 17 {
					content = "poison"
				} else {
					want = append(want, content)
				}
				r.add(keyed(call(message(alice+esh3ar.Recipient(i%2), content)), content, 1))
			}
			store := newMemoryStore()
			store.refuse = poison("poison", c.err)
			drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{})
			for i := range c.passes {
				if err := drainer.Drain(t.Context()); (err == nil) != (i == c.passes-1) {
					t.Fatalf("pass %d: got %v, want an error in all passes but the last", i, err)
				}
			}
			wantPerRecipient(t, store.contents, want)
			q := r.quarantine()
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 1 || s.Quarantined != 1 || s.Bytes == 0 || len(q) != 1 {
				t.Fatalf("got stats %+v and %d calls in quarantine, want 1", s, len(q))
			}
			quarantineBytes := r.Stats().Bytes
			if q[0].Reason != c.err.Error() || q[0].Call.Messages[0].Content != "poison" || q[0].At.IsZero() {
				t.Errorf("got %+v in quarantine, want the poisoned call with reason %q", q[0], c.err)
			}
			if a, ok, err := r.KnownKey(keyed(call(message(alice, "poison")), "poison", 1)); !ok || err != nil || a.Receipts[0].ID != q[0].Call.Messages[0].ID {
				t.Errorf("key of the quarantined call: got %+v, %t, %v, want its answer", a, ok, err)
			}
			r.cut() // brings back entries whose deletion was not synced
			store.refuse = func(calls []*esh3ar.Call) error {
				if slices.ContainsFunc(calls, func(c *esh3ar.Call) bool { return !store.ids[c.Messages[0].ID] }) {
					t.Error("after the cut: got the poisoned message or one that was never stored, want stored ones only")
				}
				return nil
			}
			if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 1 || s.Bytes != quarantineBytes {
				t.Errorf("after a cut: got stats %+v, want one call in quarantine with %d bytes", s, quarantineBytes)
			}
			for _, claim := range []struct {
				cluster string
				want    error
			}{{"own", nil}, {"other", spill.ErrOtherCluster}} {
				if err := r.Claim(claim.cluster); !errors.Is(err, claim.want) {
					t.Errorf("claim of a spill with a call in quarantine for cluster %q: got %v, want %v", claim.cluster, err, claim.want)
				}
			}
			store.refuse = nil
			if n, err := r.Readmit(t.Context()); n != 1 || err != nil {
				t.Fatalf("Readmit: got %d, %v, want 1", n, err)
			}
			r.cut()
			if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 0 || s.Bytes != 0 || store.contents[len(store.contents)-1] != "poison" {
				t.Errorf("after Readmit: got stats %+v, stored %v, want an empty spill and the poisoned message last", s, store.contents)
			}
			if _, ok, _ := r.KnownKey(keyed(call(message(alice, "poison")), "poison", 1)); ok {
				t.Error("key of the readmitted call: got known after the drain, want unknown")
			}
		})
	}
}

// wantPerRecipient compares the contents of the two recipients, those with even and those with odd numbers, each in order.
func wantPerRecipient(t *testing.T, got, want []string) {
	t.Helper()
	for parity := range 2 {
		var a, b []string
		for _, list := range []struct {
			from []string
			to   *[]string
		}{{got, &a}, {want, &b}} {
			for _, content := range list.from {
				if int(content[len(content)-1])%2 == parity {
					*list.to = append(*list.to, content)
				}
			}
		}
		if !slices.Equal(a, b) {
			t.Errorf("got stored %v, want %v", a, b)
		}
	}
}

// TestDrain_Outage_QuarantinesNothing: the store is away for more passes than blame a call, and comes back in the middle of a pass that
// sends calls alone. No call is quarantined and none overtakes another.
func TestDrain_Outage_QuarantinesNothing(t *testing.T) {
	t.Parallel()
	for failures := range 60 {
		r := newFixture(t, spill.Options{})
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprint(i))
			r.add(call(message(alice+esh3ar.Recipient(i%2), want[i])))
		}
		store := newMemoryStore()
		n := 0
		store.refuse = func([]*esh3ar.Call) error {
			n++
			if n <= failures {
				return esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
			}
			return nil
		}
		drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{})
		for range 60 {
			if drainer.Drain(t.Context()) == nil {
				break
			}
		}
		if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 0 {
			t.Fatalf("store back after %d appends: got stats %+v, want an empty spill and no quarantine", failures, s)
		}
		wantPerRecipient(t, store.contents, want)
		_ = r.Spill.Close()
	}
}

// TestDrain_AnswerForAnotherCall_Quarantines: the store answers for another call with the same key, so it has not stored this one.
func TestDrain_AnswerForAnotherCall_Quarantines(t *testing.T) {
	t.Parallel()
	for _, a := range []esh3ar.Answer{{Outcome: esh3ar.Mismatched}, {Outcome: esh3ar.Replayed, Receipts: []esh3ar.Receipt{{ID: esh3ar.NewMessageID()}}}} {
		r := newFixture(t, spill.Options{})
		r.add(keyed(call(message(alice, "a")), "k", 1))
		store := newMemoryStore()
		store.answer = func([]*esh3ar.Call) ([]esh3ar.Answer, error) { return []esh3ar.Answer{a}, nil }
		if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if s := r.Stats(); s.InQuarantine != 1 || s.Drained != 0 {
			t.Errorf("answer %v: got stats %+v, want 1 call in quarantine", a.Outcome, s)
		}
	}
}

func TestRun_StoreAway_RetriesWithPauseAndOnWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, spill.Options{})
		store := newMemoryStore()
		away := true
		store.refuse = func([]*esh3ar.Call) error {
			if away {
				return esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
			}
			return nil
		}
		drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{MinPause: time.Second, MaxPause: 8 * time.Second})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- drainer.Run(ctx) }()
		r.add(call(message(alice, "a")))
		time.Sleep(16 * time.Second) // tried at 0, 1, 3, 7, 15
		synctest.Wait()
		if store.batches != 5 {
			t.Errorf("got %d appends in 16 s, want 5", store.batches)
		}
		r.add(call(message(alice, "b"))) // does not end the pause
		synctest.Wait()
		if store.batches != 5 {
			t.Errorf("after another call: got %d appends, want 5", store.batches)
		}
		away = false
		drainer.Wake()
		synctest.Wait()
		store.want(t, "a", "b")
		r.add(call(message(alice, "c"))) // at once, because the last pass succeeded
		synctest.Wait()
		store.want(t, "a", "b", "c")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = r.Spill.Close()
	})
}
