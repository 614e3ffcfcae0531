package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// # What one business may have waiting at one phone
//
// A phone reads its inbox in order, so what one business has waiting there holds up all others of the same lane. The plan
// bounds it: a number of undelivered messages per lane, and a rate per recipient.
//
// The naive way is a counter per (recipient, business, lane) in every commit: two more rows written per message, and a
// row that all nodes lock. Instead a node counts what it admits, and asks the store now and then. Each pair of business and
// recipient has a small allowance per lane that costs no question. When it is used up, the node counts what waits (w), and
// the new allowance is the node's part of what is left of the limit L: (L-w)/nodes. Where nothing is left, calls are
// refused until a second has passed and the store is asked again.
//
// The bound: on one node at most L plus one first allowance waits, which is at most L/4 and 32. With n nodes each holds an
// allowance of at most L/n that was computed before others used theirs, so at most L + L(n-1)/n + n first allowances wait,
// which is below 2.25 L; a batch may exceed that by its own size. A restart forgets what was counted and costs one first
// allowance. While the store cannot be asked nothing is refused: those calls go to the spill or fail as a whole.
//
// The table of pairs has a fixed size. A pair that finds its slot taken by another takes it over, and asks the store first
// once in firstAllowance times at random. A lane that was found full is remembered apart from the table until the store
// says otherwise. So a business that drives pairs out of the table gains on average firstAllowance messages per pair
// before that pair is found, and none afterwards.

const (
	recipientSlots = 1 << 15 // pairs that are remembered, 3 MiB
	firstAllowance = 32      // messages of a pair that cost no question
	maxWalk        = 20_000  // messages of a lane that one question looks at
	retryInterval  = time.Second
	maxFullLanes   = 1 << 17     // lanes that are remembered as full, about 6 MiB; beyond it any of them is forgotten
	queryTimeout   = time.Second // that a question may take
)

// RecipientError is the refusal of messages for one recipient. Nothing of the call was taken.
type RecipientError struct {
	Full       bool // the inbox limit; else the rate
	Recipient  esh3ar.Recipient
	Text       string
	RetryAfter time.Duration
	Never      bool // the call could not be taken at any time
}

// Error implements error.
func (e *RecipientError) Error() string { return e.Text }

// Recipients hold businesses to what they may send to one recipient. All methods are safe for concurrent use; calls to
// different pairs of business and recipient do not wait for each other.
type Recipients struct {
	store         esh3ar.WaitingCounter
	nodes         func() int
	cachedNodes   atomic.Int64 // nodes that lived when they were last counted
	nodesExpireAt atomic.Int64 // when they are counted again
	startedAt     time.Time
	seed          maphash.Seed
	slots         []recipientSlot
	full          fullLanes
	stats         struct{ full, fast, asked, failed atomic.Uint64 }
}

// recipientSlot is what a node knows of one pair. Times are in nanoseconds since the beginning.
type recipientSlot struct {
	mu      sync.Mutex
	tag     uint64                   // of the pair; zero: none
	bucket  int64                    // of the rate: when it is full again
	left    [esh3ar.Priorities]int32 // allowance per lane; -1: the store has to be asked
	refused [esh3ar.Priorities]int64 // until when a lane is full; zero: it is not
}

// fullLanes are the lanes that were full when the store was last asked.
type fullLanes struct {
	n  atomic.Int64 // of them: mostly none, and then the lock is not taken
	mu struct {
		sync.Mutex
		of map[fullLane]int64 // until when they are refused without a question
	}
}

type fullLane struct {
	tag  uint64 // of the pair
	lane esh3ar.Priority
}

func (f *fullLanes) until(l fullLane) (at int64, full bool) {
	if f.n.Load() == 0 {
		return 0, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, full = f.mu.of[l]
	return at, full
}

func (f *fullLanes) set(l fullLane, until int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.of == nil {
		f.mu.of = map[fullLane]int64{}
	}
	for other := range f.mu.of {
		if len(f.mu.of) < maxFullLanes {
			break
		}
		delete(f.mu.of, other)
	}
	f.mu.of[l] = until
	f.n.Store(int64(len(f.mu.of)))
}

func (f *fullLanes) remove(l fullLane) {
	if f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.of, l)
	f.n.Store(int64(len(f.mu.of)))
}

// pair is a business and a recipient.
type pair struct {
	business  esh3ar.BusinessID
	recipient esh3ar.Recipient
}

// RecipientStats are counts since the start.
type RecipientStats struct {
	Full        uint64 // calls refused because too much waited
	OverRate    uint64 // calls refused because of the rate
	Queries     uint64 // questions to the store
	QueryErrors uint64 // questions without an answer
}

// NewRecipients returns a table without pairs; nodes says how many nodes live, this one too, and is nil for one.
func NewRecipients(store esh3ar.WaitingCounter, nodes func() int) *Recipients {
	if nodes == nil {
		nodes = func() int { return 1 }
	}
	return &Recipients{store: store, nodes: nodes, startedAt: time.Now(), seed: maphash.MakeSeed(), slots: make([]recipientSlot, recipientSlots)}
}

// liveNodes returns how many nodes live, counted once in a second.
func (r *Recipients) liveNodes() int {
	now := int64(time.Since(r.startedAt))
	if until := r.nodesExpireAt.Load(); now >= until && r.nodesExpireAt.CompareAndSwap(until, now+int64(time.Second)) {
		r.cachedNodes.Store(int64(max(1, r.nodes())))
	}
	return max(1, int(r.cachedNodes.Load()))
}

// Stats returns the counts.
func (r *Recipients) Stats() RecipientStats {
	return RecipientStats{r.stats.full.Load(), r.stats.fast.Load(), r.stats.asked.Load(), r.stats.failed.Load()}
}

// Take admits the messages of one call, all or none. It returns a *RecipientError if they are too many for one of their
// recipients.
func (r *Recipients) Take(ctx context.Context, plan *esh3ar.Plan, business esh3ar.BusinessID, messages []*esh3ar.Message) error {
	if len(messages) == 1 {
		return r.countRefusal(r.take(ctx, plan, pair{business, messages[0].Recipient}, messages[0].Priority, 1))
	}
	type place struct {
		recipient esh3ar.Recipient
		lane      esh3ar.Priority
	}
	amounts := map[place]int{}
	for _, m := range messages {
		amounts[place{m.Recipient, m.Priority}]++
	}
	taken := make([]place, 0, len(amounts))
	for at, n := range amounts {
		if err := r.take(ctx, plan, pair{business, at.recipient}, at.lane, n); err != nil {
			for _, back := range taken {
				r.giveBack(plan, pair{business, back.recipient}, back.lane, amounts[back])
			}
			return r.countRefusal(err)
		}
		taken = append(taken, at)
	}
	return nil
}

func (r *Recipients) countRefusal(err error) error {
	if refusal, ok := errors.AsType[*RecipientError](err); ok {
		if refusal.Full {
			r.stats.full.Add(1)
		} else {
			r.stats.fast.Add(1)
		}
	}
	return err
}

// take admits n messages to one lane.
func (r *Recipients) take(ctx context.Context, plan *esh3ar.Plan, p pair, lane esh3ar.Priority, n int) error {
	limit := plan.OfInbox()
	rate, burst := plan.OfRecipient()
	if n > limit || n > burst {
		return &RecipientError{Full: n > limit, Never: true, Recipient: p.recipient, Text: fmt.Sprintf(
			"has %d messages of one priority for %s; the plan allows %d at once", n, p.recipient, min(limit, burst))}
	}
	s := r.slot(p, limit)
	defer s.mu.Unlock()
	now := int64(time.Since(r.startedAt))
	taken := flow.QuotaOf(rate, burst).Share(r.liveNodes()).Take(s.bucket, now, n)
	if !taken.Allowed {
		return &RecipientError{Recipient: p.recipient, RetryAfter: taken.RetryAfter, Text: fmt.Sprintf(
			"over the plan's %g messages per second to one recipient with a burst of %d", rate, burst)}
	}
	if int(s.left[lane]) < n {
		r.refillLocked(ctx, s, p, lane, limit, n)
	}
	if int(s.left[lane]) < n {
		return &RecipientError{Full: true, Recipient: p.recipient, RetryAfter: retryInterval, Text: fmt.Sprintf(
			"the plan's %d messages of this business and priority wait for the recipient already", limit)}
	}
	s.left[lane] -= int32(n)
	s.bucket = taken.Full
	return nil
}

// giveBack undoes a take of a call that was not admitted.
func (r *Recipients) giveBack(plan *esh3ar.Plan, p pair, lane esh3ar.Priority, n int) {
	rate, burst := plan.OfRecipient()
	s := r.slot(p, plan.OfInbox())
	defer s.mu.Unlock()
	s.left[lane] += int32(n)
	s.bucket -= int64(n) * int64(flow.QuotaOf(rate, burst).Share(r.liveNodes()).Interval)
}

// slot returns the slot of a pair, locked. The one of a pair that was not there has first allowances.
func (r *Recipients) slot(p pair, limit int) *recipientSlot {
	tag := maphash.Comparable(r.seed, p) | 1
	s := &r.slots[(tag>>1)%recipientSlots]
	s.mu.Lock()
	if s.tag == tag {
		return s
	}
	first := int32(max(1, min(firstAllowance, limit/4/r.liveNodes())))
	if s.tag != 0 && rand.N(firstAllowance) == 0 {
		first = -1
	}
	s.tag, s.bucket, s.refused = tag, 0, [esh3ar.Priorities]int64{}
	for lane := range s.left {
		s.left[lane] = first
		if until, full := r.full.until(fullLane{tag, esh3ar.Priority(lane)}); full {
			s.left[lane], s.refused[lane] = -1, until
		}
	}
	return s
}

// refillLocked sets the allowance of a lane by what the store says. Calls of the same pair wait meanwhile.
func (r *Recipients) refillLocked(ctx context.Context, s *recipientSlot, p pair, lane esh3ar.Priority, limit, n int) {
	if int64(time.Since(r.startedAt)) < s.refused[lane] {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	r.stats.asked.Add(1)
	waiting, err := r.store.Waiting(ctx, esh3ar.WaitingQuery{
		Recipient: p.recipient, Business: p.business, Lane: lane, Limit: limit, Walk: max(maxWalk, 2*limit),
	})
	if err != nil { // what the call needs of the store itself will say so
		r.stats.failed.Add(1)
		s.left[lane] = int32(max(n, firstAllowance))
		return
	}
	rest := limit - waiting
	s.left[lane] = int32(max(0, rest/r.liveNodes()))
	if rest >= n {
		s.left[lane] = max(s.left[lane], int32(n))
		r.full.remove(fullLane{s.tag, lane})
	} else {
		s.refused[lane] = int64(time.Since(r.startedAt) + retryInterval)
		r.full.set(fullLane{s.tag, lane}, s.refused[lane])
	}
}
