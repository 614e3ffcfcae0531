package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// BenchmarkDueTasks measures the throughput of due tasks when their effects are committed in several batches concurrently.
// b.N counts tasks.
func BenchmarkDueTasks(b *testing.B) {
	for _, width := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("width=", width), func(b *testing.B) {
			s, err := postgres.Open(b.Context(), newDatabase(b), postgres.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			schedule(b, s, b.N)
			b.ResetTimer()
			for left := b.N; left > 0; {
				tasks, err := s.Claim(b.Context(), time.Minute, 500*width)
				if err != nil {
					b.Fatal(err)
				}
				left -= len(tasks)
				settleAll(b, s, tasks, width)
			}
		})
	}
}

// schedule appends messages that are due soon, and waits until they are due.
func schedule(b *testing.B, s *postgres.Store, n int) {
	b.Helper()
	business := esh3ar.NewBusinessID()
	due := time.Now().Add(time.Millisecond)
	for n > 0 {
		var calls []*esh3ar.Call
		for range min(n, 500) {
			m := message(business, 967770000000+esh3ar.Recipient(n%4000))
			m.SendAt = esh3ar.TimeOf(due.Add(time.Second))
			calls = append(calls, &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{m}})
			n--
		}
		if _, err := s.Append(b.Context(), calls); err != nil {
			b.Fatal(err)
		}
	}
	<-time.After(time.Until(due.Add(2 * time.Second)))
}

// settleAll moves the messages of the tasks into their inboxes, in width concurrent batches.
func settleAll(b *testing.B, s *postgres.Store, tasks []esh3ar.Task, width int) {
	parts := make([][]esh3ar.Change, width)
	now := esh3ar.TimeOf(time.Now())
	for i := range tasks {
		t := &tasks[i]
		n := int(t.Recipient) % width
		parts[n] = append(parts[n], esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Queued, At: now, Task: t})
	}
	var group sync.WaitGroup
	for _, part := range parts {
		group.Go(func() {
			if _, err := s.Settle(b.Context(), part); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
}
