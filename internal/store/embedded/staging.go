package embedded

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
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
	keys      map[string]*idemRow // by row key
	settling  map[esh3ar.MessageID]*settling
	settings  map[string][]byte
	broken    error  // a read failed half-way through a request: nothing of this batch may be written
	key, row  []byte // scratch
}

func newStaging(c *committer, now esh3ar.Time) *staging {
	return &staging{
		committer: c, now: now, batch: c.store.db.NewBatch(), position: c.position,
		counters: map[esh3ar.Recipient]esh3ar.Seq{},
	}
}

// get reads a row of the database; nil when there is none. The committer is the only writer and everything before
// this batch is synced, so it reads the database itself.
func (st *staging) get(key []byte) ([]byte, error) { return getRow(st.committer.store.db, key) }

func getRow(src source, key []byte) ([]byte, error) {
	row, closer, err := src.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), row...), nil
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
		}
	}
	seq++
	st.counters[r] = seq
	return seq, nil
}

// logEvent adds one row to the event log.
func (st *staging) logEvent(e *eventRow) error {
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
	for key, row := range st.keys {
		if row == nil {
			continue
		}
		if err := st.set([]byte(key), row.append(nil)); err != nil {
			return err
		}
	}
	for id, s := range st.settling {
		if err := st.finishSettling(id, s); err != nil {
			return err
		}
	}
	return nil
}
