package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ledger records for every message when it was due, whether it was accepted and whether it arrived.
type ledger struct {
	next     atomic.Int64 // number of the next message
	accepted atomic.Int64
	refused  atomic.Int64 // answers other than 202
	received atomic.Int64 // first deliveries
	settled  atomic.Int64 // messages whose acknowledgement a node has confirmed; phones that acknowledge without a completion do not count
	repeats  atomic.Int64
	disorder atomic.Int64 // first deliveries with a seq below an earlier one of their phone
	foreign  atomic.Int64 // deliveries of unknown message numbers

	measured atomic.Bool // whether latencies are recorded
	chunks   [maxChunks]atomic.Pointer[chunk]
	grow     sync.Mutex

	mu     sync.Mutex
	accept *hdrhistogram.Histogram // due → 202, microseconds
	device *hdrhistogram.Histogram // due → phone, microseconds
}

// place is the record of one message. Chunks never move, so places can be used without a lock.
type place struct {
	due  atomic.Int64 // Unix nanoseconds
	came atomic.Bool
}

const (
	chunkSize = 1 << 16
	maxChunks = 1 << 10
)

type chunk [chunkSize]place

// highest is the largest latency that the histograms hold, in microseconds; larger values count as highest.
const highest = 120_000_000

func newLedger() *ledger {
	return &ledger{accept: hdrhistogram.New(1, highest, 3), device: hdrhistogram.New(1, highest, 3)}
}

func (l *ledger) place(n int) *place {
	if n < 0 || n >= chunkSize*maxChunks {
		return nil
	}
	at := &l.chunks[n/chunkSize]
	c := at.Load()
	if c == nil {
		l.grow.Lock()
		defer l.grow.Unlock()
		if c = at.Load(); c == nil {
			c = &chunk{}
			at.Store(c)
		}
	}
	return &c[n%chunkSize]
}

// begin assigns the next message number.
func (l *ledger) begin(due time.Time) int {
	n := int(l.next.Add(1) - 1)
	if p := l.place(n); p != nil {
		p.due.Store(due.UnixNano())
	}
	return n
}

// answered records the answer to a call.
func (l *ledger) answered(status int, due time.Time) {
	if status != 202 {
		l.refused.Add(1)
		return
	}
	l.accepted.Add(1)
	if l.measured.Load() {
		l.record(l.accept, time.Since(due))
	}
}

func (l *ledger) record(h *hdrhistogram.Histogram, took time.Duration) {
	l.mu.Lock()
	_ = h.RecordValue(min(max(took.Microseconds(), 1), highest)) // within its bounds
	l.mu.Unlock()
}

// arrived records a delivery and reports whether it was the first of its message.
func (l *ledger) arrived(n int) bool {
	p := l.place(n)
	if p == nil || p.due.Load() == 0 {
		l.foreign.Add(1)
		return false
	}
	if !p.came.CompareAndSwap(false, true) {
		l.repeats.Add(1)
		return false
	}
	l.received.Add(1)
	if l.measured.Load() {
		l.record(l.device, time.Since(time.Unix(0, p.due.Load())))
	}
	return true
}

// faults describes losses and reordering; it returns an empty string if there are none.
func (l *ledger) faults() string {
	return l.verdict(l.accepted.Load() - l.received.Load())
}

// verdict is faults with a given number of lost messages.
func (l *ledger) verdict(lost int64) string {
	if lost <= 0 && l.disorder.Load() == 0 && l.foreign.Load() == 0 {
		return ""
	}
	return fmt.Sprintf("lost %d, out of order %d, never sent %d", max(lost, 0), l.disorder.Load(), l.foreign.Load())
}
