package embedded

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// stagedBatch is a batch under construction: the rows to write, and an overlay of the changes made so far, so that later
// requests of the batch see earlier ones. It is used by the committer's goroutine only.
type stagedBatch struct {
	committer   *committer
	now         esh3ar.Time
	batch       *pebble.Batch
	position    uint64 // position of the last event staged
	messages    int    // messages appended
	changes     int    // changes settled
	counters    map[esh3ar.Recipient]esh3ar.Seq
	keys        map[idemScope]*idemRow
	unnumbered  map[esh3ar.MessageID]location // messages of this batch that have no seq
	updates     map[esh3ar.MessageID]*messageUpdate
	updateOrder []*messageUpdate  // values of updates in order of first use, which is the order of their events
	endedTasks  []string          // row keys of the tasks that this batch completes
	overlay     map[string][]byte // changed rows of businesses, API keys, plans and settings, by row key
	broken      error             // error of a read in the middle of a request; a broken batch is never written
	key, row    []byte            // buffers, reused for every row
}

func newStagedBatch(c *committer, now esh3ar.Time) *stagedBatch {
	return &stagedBatch{
		committer: c, now: now, batch: c.store.db.NewBatch(), position: c.position,
		counters: map[esh3ar.Recipient]esh3ar.Seq{}, keys: map[idemScope]*idemRow{},
	}
}

// get returns a row, or nil if it does not exist. It reads the database directly: the committer is the only writer, and
// everything before this batch is synced.
func (st *stagedBatch) get(key []byte) ([]byte, error) {
	if row, ok := st.overlay[string(key)]; ok {
		return row, nil
	}
	return getRow(st.committer.store.db, key)
}

// getRow returns a copy of a row, or nil if it does not exist. An existing empty row is not nil.
func getRow(src source, key []byte) ([]byte, error) {
	row, closer, err := src.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, row...), nil // never nil
}

func (st *stagedBatch) set(key, row []byte) error { return st.batch.Set(key, row, nil) }

// nextSeq returns the next sequence number of the recipient.
func (st *stagedBatch) nextSeq(r esh3ar.Recipient) (esh3ar.Seq, error) {
	seq, ok := st.counters[r]
	if !ok {
		if seq, ok = st.committer.counters[r]; !ok {
			var err error
			if seq, err = readCounter(st.committer.store.db, r); err != nil {
				return 0, err
			}
			if faultinject.Is(faultinject.SeqReused) {
				seq = max(seq, 1) - 1
			}
		}
	}
	seq++
	st.counters[r] = seq
	return seq, nil
}

// logEvent stages one row of the event log.
func (st *stagedBatch) logEvent(e *eventRow) error {
	if faultinject.Is(faultinject.SettleWithoutEvent) && e.Status == esh3ar.Delivered {
		return nil
	}
	st.position++
	st.key, st.row = appendEvent(st.key[:0], st.position), e.append(st.row[:0])
	return st.set(st.key, st.row)
}

// finish stages the rows that are written once per batch, however often the batch changed them.
func (st *stagedBatch) finish() error {
	if st.broken != nil {
		return st.broken
	}
	for r, seq := range st.counters {
		st.key = appendCounter(st.key[:0], r)
		if err := st.set(st.key, appendUint64(st.row[:0], uint64(seq))); err != nil {
			return err
		}
	}
	if err := st.writeKeys(); err != nil {
		return err
	}
	for _, s := range st.updateOrder {
		if err := st.writeUpdate(s); err != nil {
			return err
		}
	}
	return nil
}
