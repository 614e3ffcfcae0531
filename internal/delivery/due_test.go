package delivery_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// counting is a store that counts the concurrent commits of due tasks.
type counting struct {
	*embedded.Store
	now, most atomic.Int64
}

func (c *counting) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if changes[0].Task == nil { // statuses of absent recipients, meanwhile
		return c.Store.Settle(ctx, changes)
	}
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return c.Store.Settle(ctx, changes)
}

// TestDue_ManyTasks_RunsMoreCommits makes 8,000 scheduled messages of 40 recipients due at once. They must enter their inboxes in
// order of their due times, by several concurrent commits; afterwards the width must be one again.
func TestDue_ManyTasks_RunsMoreCommits(t *testing.T) {
	t.Parallel()
	const recipients, each = 40, 200
	var clock atomic.Int64 // of the store: so all are due at once, and none before
	begin := time.Now()
	clock.Store(begin.UnixNano())
	inner, err := embedded.Open(t.TempDir(), embedded.Options{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	store := &counting{Store: inner}
	business := esh3ar.NewBusinessID()
	for n := range each {
		var calls []*esh3ar.Call
		for r := range recipients {
			m := &esh3ar.Message{
				ID: esh3ar.NewMessageID(), Business: business, Recipient: alice + esh3ar.Recipient(r), Priority: esh3ar.Normal,
				Content: fmt.Sprint(each - n), SendAt: esh3ar.TimeOf(begin.Add(time.Hour - time.Duration(n)*time.Second)), // the last first
			}
			calls = append(calls, &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{m}})
		}
		if _, err := store.Append(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
	}
	clock.Store(begin.Add(2 * time.Hour).UnixNano())
	engine := delivery.New(store, delivery.Options{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	eventually(t, func() bool { return engine.Stats().Due == recipients*each && engine.Stats().DueWidth == 1 },
		func() string { return fmt.Sprintf("not all were done, or the width stays: %+v", engine.Stats()) })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if most := store.most.Load(); most < 2 {
		t.Errorf("%d commits at a time at most", most)
	}
	for r := range esh3ar.Recipient(recipients) {
		got, err := store.Since(t.Context(), alice+r, 0, 0, each)
		if err != nil || len(got) != each {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		for i := range got {
			if want := fmt.Sprint(i + 1); got[i].Message.Content != want {
				t.Fatalf("recipient %d: %s is in place %s", r, got[i].Message.Content, want)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
