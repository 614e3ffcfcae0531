package embedded_test

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// benchBatch is the number of calls per batch, as under load.
const benchBatch = 300

// cpu returns the CPU time used by the process.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func benchStore(b *testing.B) *embedded.Store {
	s, err := embedded.Open(b.TempDir(), embedded.Options{Reserve: diskguard.ReserveBytes(1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// benchCalls returns one batch of single-message calls, spread over 4,000 recipients.
func benchCalls(round int) []*esh3ar.Call {
	calls := make([]*esh3ar.Call, benchBatch)
	for i := range calls {
		m := newMessage(0)
		m.Recipient = esh3ar.Recipient(967770000000 + (round*benchBatch+i)%4000)
		m.Priority = esh3ar.Normal
		m.Content = strings.Repeat("x", 100)
		calls[i] = one(m)[0]
	}
	return calls
}

func changesOf(calls []*esh3ar.Call) []esh3ar.Change {
	changes := make([]esh3ar.Change, 0, 2*len(calls))
	for _, c := range calls {
		m := c.Messages[0]
		at := m.CreatedAt()
		changes = append(changes, esh3ar.Change{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Sent, Attempt: 1, At: at},
			esh3ar.Change{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Delivered, At: at})
	}
	return changes
}

// measure reports the CPU time of work per message, without the time spent in prepare.
func measure(b *testing.B, prepare func(round int) []*esh3ar.Call, work func([]*esh3ar.Call) error) {
	b.ReportAllocs()
	var used time.Duration
	round := 0
	for b.Loop() {
		b.StopTimer()
		calls := prepare(round)
		round++
		b.StartTimer()
		before := cpu()
		if err := work(calls); err != nil {
			b.Fatal(err)
		}
		used += cpu() - before
	}
	b.ReportMetric(float64(used.Microseconds())/float64(round*benchBatch), "µs-cpu/message")
}

// BenchmarkAppend appends batches of 300 single-message calls.
func BenchmarkAppend(b *testing.B) {
	s := benchStore(b)
	measure(b, benchCalls, func(calls []*esh3ar.Call) error { _, err := s.Append(b.Context(), calls); return err })
}

// BenchmarkSettle settles 300 messages with two changes each, right after their append.
func BenchmarkSettle(b *testing.B) {
	s := benchStore(b)
	prepare := func(round int) []*esh3ar.Call {
		calls := benchCalls(round)
		if _, err := s.Append(b.Context(), calls); err != nil {
			b.Fatal(err)
		}
		return calls
	}
	measure(b, prepare, func(calls []*esh3ar.Call) error { _, err := s.Settle(b.Context(), changesOf(calls)); return err })
}

// BenchmarkCaughtUp reads inboxes without undelivered messages, which is the most frequent read.
func BenchmarkCaughtUp(b *testing.B) {
	s := benchStore(b)
	for round := range 14 { // every recipient has received at least one message
		calls := benchCalls(round)
		if _, err := s.Append(b.Context(), calls); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Settle(b.Context(), changesOf(calls)); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Pending(b.Context(), esh3ar.InboxQuery{Recipient: esh3ar.Recipient(967770000000 + i%4000), Limit: 64, Bytes: 64 << 10}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSteadyState appends and settles 450,000 messages of 1,000 businesses to 10,000 recipients, each batch settled while the next
// one is appended. Unlike the benchmarks of single steps it includes a full memtable, flushes and compactions. Run it with
// -benchtime 1x.
func BenchmarkSteadyState(b *testing.B) {
	const rounds, recipients = 1500, 10_000
	s := benchStore(b)
	businesses := make([]esh3ar.BusinessID, 1000)
	for i := range businesses {
		businesses[i] = esh3ar.NewBusinessID()
	}
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		var unsettled []*esh3ar.Call
		before := cpu()
		for range rounds {
			calls := make([]*esh3ar.Call, benchBatch)
			for i := range calls {
				m := newMessage(0)
				m.Business, m.Recipient = businesses[random.IntN(len(businesses))], esh3ar.Recipient(967770000000+random.Uint64N(recipients))
				m.Priority, m.Content = esh3ar.Normal, strings.Repeat("x", 200)
				calls[i] = &esh3ar.Call{Business: m.Business, Messages: []*esh3ar.Message{m}}
			}
			if _, err := s.Append(b.Context(), calls); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Settle(b.Context(), changesOf(unsettled)); err != nil {
				b.Fatal(err)
			}
			unsettled = calls
		}
		b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/rounds/benchBatch, "µs-cpu/message")
	}
}
