package delivery_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// slow is a store whose reads of inboxes block until a given number of them run concurrently.
type slow struct {
	*embedded.Store
	under atomic.Int64
	need  int64
	open  chan struct{}
}

func (s *slow) Pending(ctx context.Context, q esh3ar.InboxQuery) (esh3ar.InboxPage, error) {
	if s.under.Add(1) == s.need {
		close(s.open)
	}
	<-s.open
	return s.Store.Pending(ctx, q)
}

// TestEngine_ManyPhones_RunsMoreReaders: many phones connect at once while the store is slow.
func TestEngine_ManyPhones_RunsMoreReaders(t *testing.T) {
	t.Parallel()
	inner, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := &slow{Store: inner, need: 9, open: make(chan struct{})}
	engine := delivery.New(store, delivery.Options{Readers: workerpool.Rules{Min: 1, Max: 9}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	var sessions []*delivery.Session
	for r := range esh3ar.Recipient(100) {
		sessions = append(sessions, engine.Connect(delivery.Device{Recipient: alice + r}, &socket{}))
	}
	eventually(t, func() bool { return store.under.Load() >= 100 }, func() string {
		return fmt.Sprintf("%d reads of 100 sessions, %+v", store.under.Load(), engine.Stats().Readers)
	})
	if got := engine.Stats().Readers; got.Peak != 9 {
		t.Errorf("%+v", got)
	}
	for _, s := range sessions {
		s.Close(true)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := inner.Close(); err != nil {
		t.Error(err)
	}
}
