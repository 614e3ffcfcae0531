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

// # Limits per recipient
//
// A phone reads its inbox in order, so messages of one business that wait there delay other messages in the same lane. The plan bounds
// them: a number of undelivered messages per lane, and a rate per recipient.
//
// The naive way is a counter per (recipient, business, lane) in every commit: two more rows written per message, and a row that all
// nodes lock. Instead a node counts what it admits and reads the store only now and then. Each pair of business and recipient has a
// small initial allowance per lane that costs no query. When it is used up, the node queries the number of waiting messages w, and
// the new allowance is the node's share of what is left of the limit L: (L-w)/nodes. If nothing is left, calls are refused for a
// second, then the store is queried again.
//
// Bound: on one node at most L plus one initial allowance can wait; the initial allowance is at most min(L/4, 32). With n nodes,
// each holds an allowance of at most L/n that was computed before the others used theirs. So at most L + L(n-1)/n + n initial
// allowances can wait, which is less than 2.25 L; a batch may exceed that by its own size. A restart loses the counts and costs one
// initial allowance. While the store cannot be queried nothing is refused: those calls go to the spill or fail as a whole.
//
// The table of pairs has a fixed size. A pair that collides with another takes over its slot; with a probability of
// 1/firstAllowance it must query the store first. A full lane is remembered outside the table until the store reports room. So a
// business that evicts pairs on purpose gains firstAllowance messages per pair on average before that pair is detected, and none
// afterwards.

const (
	recipientSlots = 1 << 15 // pairs in the table; 3 MiB
	firstAllowance = 32      // messages of a pair that need no query
	maxWalk        = 20_000  // messages of a lane that one query scans at most
	retryInterval  = time.Second
	maxFullLanes   = 1 << 17     // full lanes that are remembered, about 6 MiB; beyond it an arbitrary one is evicted
	queryTimeout   = time.Second // limit of one query
)

// RecipientError is the refusal of messages for one recipient. No message of the call was admitted.
type RecipientError struct {
	Full       bool // true for the inbox limit, false for the rate
	Recipient  esh3ar.Recipient
	Text       string
	RetryAfter time.Duration
	Never      bool // the call exceeds the limit even when nothing waits, so a retry is useless
}

// Error implements error.
func (e *RecipientError) Error() string { return e.Text }

// Recipients limits what a business may send to one recipient. All methods are safe for concurrent use; calls for different pairs
// rarely contend.
type Recipients struct {
	store         esh3ar.WaitingCounter
	nodes         func() int
	cachedNodes   atomic.Int64 // cached number of live nodes
	nodesExpireAt atomic.Int64 // when the number is read again
	startedAt     time.Time
	seed          maphash.Seed
	slots         []recipientSlot // the length is a power of two
	full          fullLanes
	stats         struct{ full, fast, asked, failed atomic.Uint64 }
}

// recipientSlot holds the state of one pair. Times are in nanoseconds since startedAt.
type recipientSlot struct {
	mu      sync.Mutex
	tag     uint64                   // hash of the pair; zero if the slot is empty
	bucket  int64                    // state of the rate limit: when its bucket is full again
	left    [esh3ar.Priorities]int32 // allowance per lane; -1 if the store must be queried
	refused [esh3ar.Priorities]int64 // the lane is full until then; zero if it is not
}

// fullLanes holds the lanes that were full when the store was last queried.
type fullLanes struct {
	n  atomic.Int64 // length of mu.of; mostly zero, and then the lock is not taken
	mu struct {
		sync.Mutex
		of map[fullLane]int64 // until when each lane is refused without a query
	}
}

type fullLane struct {
	tag  uint64 // hash of the pair
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

// RecipientStats holds counters since the start.
type RecipientStats struct {
	Full        uint64 // calls refused because too many messages wait
	OverRate    uint64 // calls refused because of the rate
	Queries     uint64 // queries of the store
	QueryErrors uint64 // failed queries
}

// NewRecipients returns an empty table. nodes returns the number of live nodes, including this one; nil stands for one node.
func NewRecipients(store esh3ar.WaitingCounter, nodes func() int) *Recipients {
	if nodes == nil {
		nodes = func() int { return 1 }
	}
	return &Recipients{store: store, nodes: nodes, startedAt: time.Now(), seed: maphash.MakeSeed(), slots: make([]recipientSlot, recipientSlots)}
}

// liveNodes returns the number of live nodes, read at most once a second.
func (r *Recipients) liveNodes() int {
	now := int64(time.Since(r.startedAt))
	if until := r.nodesExpireAt.Load(); now >= until && r.nodesExpireAt.CompareAndSwap(until, now+int64(time.Second)) {
		r.cachedNodes.Store(int64(max(1, r.nodes())))
	}
	return max(1, int(r.cachedNodes.Load()))
}

// Stats returns the counters.
func (r *Recipients) Stats() RecipientStats {
	return RecipientStats{r.stats.full.Load(), r.stats.fast.Load(), r.stats.asked.Load(), r.stats.failed.Load()}
}

// Take admits all messages of a call or none. It returns a *RecipientError if they exceed a limit for one of their recipients.
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
	limit := plan.EffectiveInboxLimit()
	rate, burst := plan.EffectiveRecipientRate()
	if n > limit || n > burst {
		return &RecipientError{Full: n > limit, Never: true, Recipient: p.recipient, Text: fmt.Sprintf(
			"has %d messages of one priority for %s; the plan allows %d at once", n, p.recipient, min(limit, burst))}
	}
	s := r.slot(p, limit)
	defer s.mu.Unlock()
	now := int64(time.Since(r.startedAt))
	taken := flow.NewQuota(rate, burst).Share(r.liveNodes()).Take(s.bucket, now, n)
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

// giveBack returns the allowance of a call that was not admitted.
func (r *Recipients) giveBack(plan *esh3ar.Plan, p pair, lane esh3ar.Priority, n int) {
	rate, burst := plan.EffectiveRecipientRate()
	s := r.slot(p, plan.EffectiveInboxLimit())
	defer s.mu.Unlock()
	s.left[lane] += int32(n)
	s.bucket -= int64(n) * int64(flow.NewQuota(rate, burst).Share(r.liveNodes()).Interval)
}

// slot returns the slot of a pair, locked. A pair that was not in the table starts with initial allowances.
func (r *Recipients) slot(p pair, limit int) *recipientSlot {
	tag := maphash.Comparable(r.seed, p) | 1
	s := &r.slots[(tag>>1)&uint64(len(r.slots)-1)]
	s.mu.Lock()
	if s.tag == tag {
		return s
	}
	first := int32(max(1, min(firstAllowance, limit/4/r.liveNodes())))
	if s.tag != 0 && rand.N(firstAllowance) == 0 {
		first = -1
	}
	s.tag = tag
	s.bucket = 0
	s.refused = [esh3ar.Priorities]int64{}
	for lane := range s.left {
		s.left[lane] = first
		if until, full := r.full.until(fullLane{tag, esh3ar.Priority(lane)}); full {
			s.left[lane], s.refused[lane] = -1, until
		}
	}
	return s
}

// refillLocked queries the store and sets the allowance of a lane. Other calls of the same pair wait meanwhile.
func (r *Recipients) refillLocked(ctx context.Context, s *recipientSlot, p pair, lane esh3ar.Priority, limit, n int) {
	if int64(time.Since(r.startedAt)) < s.refused[lane] {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	r.stats.asked.Add(1)
	waiting, err := r.store.CountWaiting(ctx, esh3ar.WaitingQuery{
		Recipient: p.recipient, Business: p.business, Lane: lane, Limit: limit, Walk: max(maxWalk, 2*limit),
	})
	if err != nil { // if the call needs the store itself, that fails too and reports the error
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
