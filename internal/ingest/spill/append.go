package spill

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Append keeps the calls, each whole or not at all, and returns one answer per call, in their order, when they are on
// durable storage: Stored, or Replayed or Mismatched where a call here has the same idempotency key; all of them Spilled. An
// error is for all calls: StorageFull, StoreUnavailable and Abandoned mean that nothing was kept, OutcomeUnknown that it
// may have been.
func (s *Spill) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	st := s.newStaging()
	defer s.release(st.batch)
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		var err error
		if answers[i], err = st.add(c); err != nil {
			return nil, readError(err)
		}
	}
	return answers, st.keep()
}

// readError gives a failed read its code.
func readError(err error) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "read the spill: %w", diskguard.Plain(err))
}

// staging is a batch in the making.
type staging struct {
	spill *Spill
	batch *pebble.Batch
	first position
	calls []*esh3ar.Call
	sizes []int
	size  int
	keys  map[scope]*esh3ar.Call // of this batch
	row   []byte                 // scratch
}

func (s *Spill) newStaging() *staging {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	return &staging{spill: s, batch: s.db.NewBatch(), first: s.held.mu.next}
}

// add stages a call, unless its key is known.
func (st *staging) add(c *esh3ar.Call) (esh3ar.Answer, error) {
	p := st.first + position(len(st.calls))
	if c.Key != nil {
		at := scopeOf(c)
		known := st.keys[at]
		if known == nil {
			var err error
			if known, err = st.spill.keyOf(at); err != nil {
				return esh3ar.Answer{}, err
			}
		}
		if known != nil {
			return answerKnown(known, c.Key), nil
		}
		if st.keys == nil {
			st.keys = map[scope]*esh3ar.Call{}
		}
		if c.Key.ExpiresAt > st.spill.now() {
			st.keys[at] = c
		}
		if err := st.batch.Set(at.append(nil), appendPosition(nil, callKey, p), nil); err != nil {
			return esh3ar.Answer{}, err
		}
	}
	st.row = appendCall(st.row[:0], c)
	if err := st.batch.Set(appendPosition(nil, callKey, p), st.row, nil); err != nil {
		return esh3ar.Answer{}, err
	}
	size := positionKeyLen + len(st.row)
	st.calls, st.sizes, st.size = append(st.calls, c), append(st.sizes, size), st.size+size
	return esh3ar.Answer{Outcome: esh3ar.Stored, Spilled: true, Batch: c.Batch, Receipts: receiptsOf(c)}, nil
}

// keep makes the batch durable, and only then known.
func (st *staging) keep() error {
	s := st.spill
	if len(st.calls) == 0 {
		return nil
	}
	if err := s.gauge.Check(st.size); err != nil {
		s.stats.full.Add(1)
		return err
	}
	if !s.held.fits(st.size, s.opts.MaxBytes) {
		s.stats.full.Add(1)
		return &esh3ar.Error{
			Code: esh3ar.StorageFull, RetryAfter: 10 * time.Second,
			Text: "the database is away and this node's disk has no more room for what waits for it",
		}
	}
	mode := pebble.Sync
	if faultinject.Is(faultinject.SpillBeforeFsync) {
		mode = pebble.NoSync
	}
	if err := s.commit(st.batch, mode); err != nil {
		return err
	}
	for i, c := range st.calls {
		s.held.add(c, st.sizes[i])
		s.stats.messages.Add(uint64(len(c.Messages)))
	}
	s.held.advance(st.first + position(len(st.calls)))
	s.signal()
	return nil
}

// advance lets the drain see what lies below next.
func (h *held) advance(next position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.next = next
}

// signal tells the drain that there is something to do.
func (s *Spill) signal() {
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

func (s *Spill) now() esh3ar.Time { return esh3ar.TimeOf(s.opts.Now()) }

// receiptsOf are what the caller learns of a call that is kept here: there is no seq before the store gives one.
func receiptsOf(c *esh3ar.Call) []esh3ar.Receipt {
	receipts := make([]esh3ar.Receipt, len(c.Messages))
	for i, m := range c.Messages {
		receipts[i] = esh3ar.Receipt{ID: m.ID, Status: esh3ar.Queued, Recipient: m.Recipient, CorrelationID: m.CorrelationID}
		if !m.SendAt.IsZero() {
			receipts[i].Status = esh3ar.Scheduled
		}
	}
	return receipts
}
