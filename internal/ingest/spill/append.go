package spill

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Append stores the calls, each completely or not at all, and returns one answer per call, in their order, when they are on durable
// storage: Stored, or Replayed or Mismatched if a call in the spill has the same idempotency key. All answers have Spilled set. An error
// applies to all calls: StorageFull, StoreUnavailable and Abandoned mean that nothing was stored, OutcomeUnknown that it may have been.
func (s *Spill) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if err := s.lockWriter(ctx); err != nil {
		return nil, err
	}
	defer s.unlockWriter()
	b := s.newBatchBuilder()
	defer s.closeBatch(b.batch)
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		var err error
		answers[i], err = b.add(c)
		if err != nil {
			return nil, readError(err)
		}
	}
	return answers, b.commit()
}

// readError gives the error of a failed read its code.
func readError(err error) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "read the spill: %w", diskguard.Plain(err))
}

// batchBuilder collects the calls of one commit. Its owner has locked the writer.
type batchBuilder struct {
	spill *Spill
	batch *pebble.Batch
	first position // position of calls[0]
	calls []*esh3ar.Call
	sizes []int                    // size of each call's row and key, in bytes
	size  int                      // sum of sizes
	keys  map[keyHash]*esh3ar.Call // calls of this batch by idempotency key; nil if none has one
	row   []byte                   // scratch buffer
}

func (s *Spill) newBatchBuilder() *batchBuilder {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	return &batchBuilder{spill: s, batch: s.db.NewBatch(), first: s.index.mu.next}
}

// add adds a call to the batch and returns its answer. A call whose idempotency key is known is answered but not added.
func (b *batchBuilder) add(c *esh3ar.Call) (esh3ar.Answer, error) {
	p := b.nextPosition()
	if c.Key != nil {
		hash := keyHashOf(c)
		known, err := b.callWithKey(hash)
		if err != nil {
			return esh3ar.Answer{}, err
		}
		if known != nil {
			return answerKnownKey(known, c.Key), nil
		}
		if err := b.addKey(hash, c, p); err != nil {
			return esh3ar.Answer{}, err
		}
	}
	b.row = appendCall(b.row[:0], c)
	if err := b.batch.Set(appendPosition(nil, callKey, p), b.row, nil); err != nil {
		return esh3ar.Answer{}, err
	}
	b.count(c, positionKeyLen+len(b.row))
	return esh3ar.Answer{Outcome: esh3ar.Stored, Spilled: true, Batch: c.Batch, Receipts: receiptsOf(c)}, nil
}

// nextPosition returns the position of the call that is added next.
func (b *batchBuilder) nextPosition() position { return b.first + position(len(b.calls)) }

// callWithKey returns the call in the batch or in the spill that has the key, nil if there is none.
func (b *batchBuilder) callWithKey(hash keyHash) (*esh3ar.Call, error) {
	if known := b.keys[hash]; known != nil {
		return known, nil
	}
	return b.spill.callWithKey(hash)
}

func (b *batchBuilder) addKey(hash keyHash, c *esh3ar.Call, p position) error {
	if c.Key.ExpiresAt > b.spill.now() {
		if b.keys == nil {
			b.keys = map[keyHash]*esh3ar.Call{}
		}
		b.keys[hash] = c
	}
	return b.batch.Set(hash.append(nil), appendPosition(nil, callKey, p), nil)
}

func (b *batchBuilder) count(c *esh3ar.Call, size int) {
	b.calls = append(b.calls, c)
	b.sizes = append(b.sizes, size)
	b.size += size
}

// commit makes the batch durable and then visible to the index and the drain.
func (b *batchBuilder) commit() error {
	s := b.spill
	if len(b.calls) == 0 {
		return nil
	}
	if err := s.gauge.Check(b.size); err != nil {
		s.stats.full.Add(1)
		return err
	}
	if !s.index.fits(b.size, s.opts.MaxBytes) {
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
	if err := s.commit(b.batch, mode); err != nil {
		return err
	}
	for i, c := range b.calls {
		s.index.add(c, b.sizes[i])
		s.stats.messages.Add(uint64(len(c.Messages)))
	}
	s.index.advance(b.nextPosition())
	s.signalGrown()
	return nil
}

// signalGrown wakes the drain.
func (s *Spill) signalGrown() {
	select {
	case s.grown <- struct{}{}:
	default: // it is signalled already
	}
}

func (s *Spill) now() esh3ar.Time { return esh3ar.TimeOf(s.opts.Now()) }

// receiptsOf returns the receipts of a call in the spill. They have no seq: the store assigns it.
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
