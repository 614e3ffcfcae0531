package embedded

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// staging is one batch in the making: the rows to write, and an overlay of what this batch has changed already, so
// that later requests of the batch see earlier ones.
type staging struct {
	committer *committer
	now       esh3ar.Time
	batch     *pebble.Batch
	position  uint64
	messages  int
	changes   int
	counters  map[esh3ar.Recipient]esh3ar.Seq
	keys      map[idemScope]*idemRow
	parked    map[esh3ar.MessageID]place // messages of this batch that have no seq
	settling  map[esh3ar.MessageID]*settling
	settled   []*settling       // the same, in the order they were first asked for: events are written so
	tasks     []string          // that end with this batch, by row key
	accounts  map[string][]byte // rows of accounts and settings, by row key
	broken    error             // a read failed half-way through a request: nothing of this batch may be written
	key, row  []byte            // scratch
}

func newStaging(c *committer, now esh3ar.Time) *staging {
	return &staging{
		committer: c, now: now, batch: c.store.db.NewBatch(), position: c.position,
		counters: map[esh3ar.Recipient]esh3ar.Seq{}, keys: map[idemScope]*idemRow{},
	}
}

// get reads a row of the database; nil when there is none. The committer is the only writer and everything before
// this batch is synced, so it reads the database itself.
func (st *staging) get(key []byte) ([]byte, error) {
	if row, ok := st.accounts[string(key)]; ok {
		return row, nil
	}
	return getRow(st.committer.store.db, key)
}

func getRow(src source, key []byte) ([]byte, error) {
	row, closer, err := src.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, row...), nil // never nil: an empty row is a row
}

func (st *staging) set(key, row []byte) error { return st.batch.Set(key, row, nil) }

// nextSeq counts the recipient's messages on.
func (st *staging) nextSeq(r esh3ar.Recipient) (esh3ar.Seq, error) {
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

// logEvent adds one row to the event log.
func (st *staging) logEvent(e *eventRow) error {
	if faultinject.Is(faultinject.SettleWithoutEvent) && e.Status == esh3ar.Delivered {
		return nil
	}
	st.position++
	st.key, st.row = appendEvent(st.key[:0], st.position), e.append(st.row[:0])
	return st.set(st.key, st.row)
}

// finish writes what is written once per batch however often the batch changed it.
func (st *staging) finish() error {
	if st.broken != nil {
		return st.broken
	}
	for r, seq := range st.counters {
		st.key = appendCounter(st.key[:0], r)
		if err := st.set(st.key, appendUint64(st.row[:0], uint64(seq))); err != nil {
			return err
		}
	}
	if err := st.setKeys(); err != nil {
		return err
	}
	for _, s := range st.settled {
		if err := st.finishSettling(s); err != nil {
			return err
		}
	}
	return nil
}
