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

func TestTheDrainKeepsTheOrderAndTheContent(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	store, err := embedded.Open("store", embedded.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r := newRig(t, spill.Options{})
	var sent []*esh3ar.Message
	for i := range 1300 { // more than two batches
		m := message(alice+esh3ar.Recipient(i%3), fmt.Sprint(i))
		m.Subject, m.CorrelationID, m.Priority = "مرحبا", "c", esh3ar.Priority(i%4)
		m.Metadata = map[string]string{"n": fmt.Sprint(i)}
		m.TTL = time.Duration(1+i) * time.Second
		m.ExpiresAt = m.CreatedAt().Add(m.TTL)
		sent = append(sent, m)
		r.keep(call(m))
	}
	var published []*esh3ar.Message
	drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnStored: func(stored []*esh3ar.Message) {
		for _, m := range stored {
			if r.Backlog(call(m)) == 0 {
				t.Error("it left the spill before it was published")
			}
		}
		published = append(published, stored...)
	}})
	if err := drainer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(published) != len(sent) {
		t.Fatalf("%d published of %d", len(published), len(sent))
	}
	seqs := map[esh3ar.Recipient]esh3ar.Seq{}
	for i, m := range sent {
		seqs[m.Recipient]++
		record, err := store.Message(t.Context(), m.ID)
		if err != nil || record.Seq != seqs[m.Recipient] || published[i].ID != m.ID || published[i].Seq != record.Seq {
			t.Fatalf("message %d: %v, seq %d, want %d; published %s with seq %d", i, err, record.Seq, seqs[m.Recipient], published[i].ID, published[i].Seq)
		}
		want := *m
		want.Seq = record.Seq
		if fmt.Sprint(record.Message) != fmt.Sprint(want) {
			t.Fatalf("%+v, want %+v", record.Message, want)
		}
	}
	if s := r.Stats(); s.Calls != 0 || s.Drained != 1300 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestAPowerCutAtAnyPointOfADrain cuts the power behind every append to the store: what was sent is sent again, and known.
func TestAPowerCutAtAnyPointOfADrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	store := newShop()
	var want []string
	for i := range 5 {
		for j := range 3 {
			content := fmt.Sprint(i, j)
			want = append(want, content)
			r.keep(keyed(call(message(alice, content)), "k"+content, 1))
			if j > 0 {
				continue
			}
			r.keep(call(message(bob, content+"b")))
			want = append(want, content+"b")
		}
		drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnStored: func([]*esh3ar.Message) {
			r.disk = r.disk.CrashClone(vfs.CrashCloneCfg{}) // the store has them, the spill too
		}})
		if err := drainer.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = r.Spill.Close()
		r.open()
		if r.Calls() == 0 {
			t.Fatal("the cut came too late to show anything")
		}
	}
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.want(t, want...)
}

func TestAnUnknownOutcomeIsSentAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, spill.Options{})
	r.keep(call(message(alice, "a")), call(message(alice, "b")))
	store := newShop()
	store.answer = func(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
		for _, c := range calls {
			store.takeLocked(c)
		}
		store.answer = nil
		return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "cut off")
	}
	var told []error
	drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{OnResult: func(err error) { told = append(told, err) }})
	r.wantCode(drainer.Drain(t.Context()), esh3ar.OutcomeUnknown)
	if r.Calls() != 2 {
		t.Errorf("%d wait", r.Calls())
	}
	if err := drainer.Drain(t.Context()); err != nil || r.Calls() != 0 {
		t.Errorf("%v, %d wait", err, r.Calls())
	}
	store.want(t, "a", "b")
	if len(told) != 2 || told[0] == nil || told[1] != nil {
		t.Errorf("told %v", told)
	}
}

func TestAPoisonedMessageBlocksNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		rounds int // until it is out of the way
	}{
		"refused for its data":    {esh3ar.Errorf(esh3ar.Invalid, "no such character"), 1},
		"nobody classified it":    {errors.New("what"), 1},
		"taken for an outage":     {esh3ar.Errorf(esh3ar.StoreUnavailable, "23505"), 11},
		"taken for a cut-off one": {esh3ar.Errorf(esh3ar.OutcomeUnknown, "reset"), 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, spill.Options{})
			var want []string
			for i := range 40 {
				content := fmt.Sprint(i)
				if i == 17 {
					content = "poison"
				} else {
					want = append(want, content)
				}
				r.keep(keyed(call(message(alice+esh3ar.Recipient(i%2), content)), content, 1))
			}
			store := newShop()
			store.refuse = poison("poison", c.err)
			drainer := spill.NewDrainer(r.Spill, store, spill.DrainOptions{})
			for i := range c.rounds {
				if err := drainer.Drain(t.Context()); (err == nil) != (i == c.rounds-1) {
					t.Fatalf("round %d: %v", i, err)
				}
			}
			wantPerRecipient(t, store.contents, want)
			q := r.quarantine()
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 1 || s.Quarantined != 1 || s.Bytes == 0 || len(q) != 1 {
				t.Fatalf("%+v, %d in quarantine", s, len(q))
			}
			aside := r.Stats().Bytes
			if q[0].Reason != c.err.Error() || q[0].Call.Messages[0].Content != "poison" || q[0].At.IsZero() {
				t.Errorf("%+v", q[0])
			}
			if a, ok, err := r.KnownKey(keyed(call(message(alice, "poison")), "poison", 1)); !ok || err != nil || a.Receipts[0].ID != q[0].Call.Messages[0].ID {
				t.Errorf("the twin of a quarantined call: %+v %t %v", a, ok, err)
			}
			r.cut() // brings back entries whose end was not synced yet
			store.refuse = func(calls []*esh3ar.Call) error {
				if slices.ContainsFunc(calls, func(c *esh3ar.Call) bool { return !store.ids[c.Messages[0].ID] }) {
					t.Error("the cut brought back the poisoned message, or one that was never stored")
				}
				return nil
			}
			if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 1 || s.Bytes != aside {
				t.Errorf("after a cut: got %+v, want one call aside with %d bytes", s, aside)
			}
			for _, claim := range []struct {
				cluster string
				want    error
			}{{"own", nil}, {"other", spill.ErrOtherCluster}} {
				if err := r.Claim(claim.cluster); !errors.Is(err, claim.want) {
					t.Errorf("a spill with a call aside, claimed for cluster %q: got %v, want %v", claim.cluster, err, claim.want)
				}
			}
			store.refuse = nil
			if n, err := r.Readmit(t.Context()); n != 1 || err != nil {
				t.Fatalf("readmitted %d, %v", n, err)
			}
			r.cut()
			if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Calls != 0 || s.InQuarantine != 0 || s.Bytes != 0 || store.contents[len(store.contents)-1] != "poison" {
				t.Errorf("after its return: %+v, %v", s, store.contents)
			}
			if _, ok, _ := r.KnownKey(keyed(call(message(alice, "poison")), "poison", 1)); ok {
				t.Error("its key stayed behind")
			}
		})
	}
}

// wantPerRecipient checks that all came, the even ones and the odd ones each in order.
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
			t.Errorf("stored %v, want %v", a, b)
		}
	}
}

// TestAnOutageIsHeldAgainstNobody: the store is away for longer than any stubbornness, and comes back in the middle of a
// round that tries calls alone. Nothing goes to the quarantine and nothing overtakes.
func TestAnOutageIsHeldAgainstNobody(t *testing.T) {
	t.Parallel()
	for comesBack := range 60 {
		r := newRig(t, spill.Options{})
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprint(i))
			r.keep(call(message(alice+esh3ar.Recipient(i%2), want[i])))
		}
		store := newShop()
		n := 0
		store.refuse = func([]*esh3ar.Call) error {
			if n++; n <= comesBack {
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
			t.Fatalf("back at append %d: %+v", comesBack, s)
		}
		wantPerRecipient(t, store.contents, want)
		_ = r.Spill.Close()
	}
}

// TestAStoreThatAnswersForAnotherCall has not taken this one.
func TestAStoreThatAnswersForAnotherCall(t *testing.T) {
	t.Parallel()
	for _, a := range []esh3ar.Answer{{Outcome: esh3ar.Mismatched}, {Outcome: esh3ar.Replayed, Receipts: []esh3ar.Receipt{{ID: esh3ar.NewMessageID()}}}} {
		r := newRig(t, spill.Options{})
		r.keep(keyed(call(message(alice, "a")), "k", 1))
		store := newShop()
		store.answer = func([]*esh3ar.Call) ([]esh3ar.Answer, error) { return []esh3ar.Answer{a}, nil }
		if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if s := r.Stats(); s.InQuarantine != 1 || s.Drained != 0 {
			t.Errorf("%s: %+v", fmt.Sprint(a.Outcome), s)
		}
	}
}

func TestRunComesBackByItselfAndEarlierWhenWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, spill.Options{})
		store := newShop()
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
		r.keep(call(message(alice, "a")))
		time.Sleep(16 * time.Second) // tried at 0, 1, 3, 7, 15
		synctest.Wait()
		if store.batches != 5 {
			t.Errorf("asked %d times in 16 s", store.batches)
		}
		r.keep(call(message(alice, "b"))) // no reason to ask earlier
		synctest.Wait()
		if store.batches != 5 {
			t.Errorf("asked %d times", store.batches)
		}
		away = false
		drainer.Wake()
		synctest.Wait()
		store.want(t, "a", "b")
		r.keep(call(message(alice, "c"))) // while all is well at once
		synctest.Wait()
		store.want(t, "a", "b", "c")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = r.Spill.Close()
	})
}
