package ingest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// TestLane_BusinessWithBatchInOverflow_LaterCallWaits: a business may have three messages in this lane. Its batch of two does not fit after
// its first two calls and waits in the overflow. A single call after that would fit, but must not be stored before the batch.
func TestLane_BusinessWithBatchInOverflow_LaterCallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 12, BatchMessages: 2})
		business := esh3ar.NewBusinessID()
		dones := []<-chan error{r.blockCommit(t)}
		for _, contents := range [][]string{{"first"}, {"second"}, {"batch 1", "batch 2"}, {"later"}} {
			dones = append(dones, r.submit(t.Context(), call(business, esh3ar.Normal, contents...)))
			synctest.Wait()
		}
		if lane := r.in.Lanes()[esh3ar.Normal]; lane.Messages != 2 || lane.Overflow != 3 {
			t.Errorf("got %d messages in the lane and %d in its overflow, want 2 and 3", lane.Messages, lane.Overflow)
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if want := []string{"running", "first", "second", "batch 1", "batch 2", "later"}; !slices.Equal(r.stored, want) {
			t.Errorf("got stored %q, want %q", r.stored, want)
		}
		r.stop()
		close(r.began)
	})
}

// TestIntake_StoreSlow_SpillsOnlyCallsWithoutKey: the store answers slowly and the lane is full. A call without a key goes to the
// spill. A call with a key does not: only the store knows whether another node has stored that key, and the store does answer.
func TestIntake_StoreSlow_SpillsOnlyCallsWithoutKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spill.Open("spill", spill.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		store := newGatedStore()
		in := ingest.New(store, nopPublisher{}, ingest.Options{Spill: sp, LaneMessages: 4, MinInFlight: 16, StoreTimeout: time.Hour})
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		submit := func(content, key string) <-chan outcome {
			c := call(esh3ar.NewBusinessID(), esh3ar.Normal, content)
			c.Messages[0].Recipient = esh3ar.Recipient(len(content))
			if key != "" {
				c.Key = &esh3ar.IdempotencyKey{Key: key, ExpiresAt: esh3ar.TimeOf(time.Now().Add(time.Hour))}
			}
			done := make(chan outcome, 1)
			go func() {
				answer, err := in.Submit(ctx, c)
				done <- outcome{answer, err}
			}()
			synctest.Wait()
			return done
		}
		running := submit("running", "")
		<-store.began
		var waiting []<-chan outcome
		for range 8 { // fill the lane and its overflow
			waiting = append(waiting, submit("waiting", ""))
		}
		if got := <-submit("no key", ""); got.err != nil || !got.Spilled {
			t.Errorf("a call without a key: got %+v, want it spilled", got)
		}
		if got := <-submit("with a key", "k"); esh3ar.CodeOf(got.err) != esh3ar.Overloaded || got.Spilled {
			t.Errorf("a call with a key: got %+v, want it refused as overloaded", got)
		}
		go func() {
			store.result <- nil
			for range store.began {
				store.result <- nil
			}
		}()
		for _, done := range append(waiting, running) {
			if got := <-done; got.err != nil {
				t.Errorf("a call that waited: %v", got.err)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		close(store.began)
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
}

// outcome is the result of a Submit.
type outcome struct {
	esh3ar.Answer
	err error
}

// TestIntake_KeyedCallWithLongBacklog_IsNotSpilled: the recipient has so many calls in the spill that a call without a key joins them. A
// call with a key may not: while the store answers, another node may have stored its key there.
func TestIntake_KeyedCallWithLongBacklog_IsNotSpilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spill.Open("spill", spill.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		business, recipient := esh3ar.NewBusinessID(), esh3ar.Recipient(967771234567)
		newCall := func(content string) *esh3ar.Call {
			c := call(business, esh3ar.Normal, content)
			c.Messages[0].Recipient = recipient
			return c
		}
		var earlier []*esh3ar.Call
		for range 1000 {
			earlier = append(earlier, newCall("earlier"))
		}
		if _, err := sp.Append(t.Context(), earlier); err != nil {
			t.Fatal(err)
		}
		in := ingest.New(newGatedStore(), nopPublisher{}, ingest.Options{Spill: sp})
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		if got, err := in.Submit(ctx, newCall("no key")); err != nil || !got.Spilled {
			t.Errorf("a call without a key: got %+v, %v, want it spilled", got, err)
		}
		keyed := newCall("with a key")
		keyed.Key = &esh3ar.IdempotencyKey{Key: "k", ExpiresAt: esh3ar.TimeOf(time.Now().Add(time.Hour))}
		if got, err := in.Submit(ctx, keyed); esh3ar.CodeOf(err) != esh3ar.Overloaded || got.Spilled {
			t.Errorf("a call with a key: got %+v, %v, want it refused as overloaded", got, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLane_FullOfBytes_Refuses fills a lane and its overflow with a few large messages.
func TestLane_FullOfBytes_Refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, bound = 4000, 10_000
		r := newFixture(t, ingest.Options{LaneBytes: bound, BatchMessages: 1})
		dones := []<-chan error{r.blockCommit(t)}
		large := strings.Repeat("x", size)
		for range 4 { // two in the lane, two in its overflow
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, large)))
			synctest.Wait()
		}
		if lane := r.in.Lanes()[esh3ar.Normal]; lane.Bytes > bound || lane.Messages != 2 || lane.Overflow != 2 {
			t.Errorf("got %d bytes in %d messages and %d in the overflow, want at most %d bytes, 2 and 2", lane.Bytes, lane.Messages, lane.Overflow, bound)
		}
		if err := <-r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, large)); esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Errorf("a call beyond the bound: got %v, want it refused as overloaded", err)
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.began)
	})
}
