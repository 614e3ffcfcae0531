package embedded

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// rowOrder brings the rows of a batch into the order of their keys before the commit. The order has no meaning for readers; it only
// saves time. Pebble inserts the rows into a skip list of up to 64 MiB, one after another, and begins each search where the previous
// one ended. In the order of the requests, two rows in succession are far apart, so a search takes about 17 steps, and most of them
// miss the CPU cache. That is the largest part of the cost of a message in the store.
//
// Its buffers are reused for every batch. The zero value is ready for use.
type rowOrder struct {
	rows []batchRow
	keys []rowKey
}

// batchRow is a row of a batch. Its slices refer to the batch.
type batchRow struct {
	kind       pebble.InternalKeyKind
	key, value []byte
}

// rowKey determines the place of a row.
type rowKey struct {
	prefix uint64 // type of the key, then bytes 2 to 8: all of a recipient, 40 bits of the time in an id
	index  uint32 // index in rows; keeps changes of the same row in their order
}

// prefixOf returns the prefix of a key. Keys that differ in later bytes only, or in byte 1, have no particular order.
func prefixOf(key []byte) uint64 {
	const typeShift = 56
	var first [8]byte
	copy(first[:], key[1:])
	return uint64(key[0])<<typeShift | binary.BigEndian.Uint64(first[:])&(1<<typeShift-1)
}

// arrange returns a batch with the rows of batch in the order of their keys, and closes batch. A batch that deletes ranges is returned
// as it is, because such a deletion depends on what comes before it.
func (o *rowOrder) arrange(db *pebble.DB, batch *pebble.Batch) (*pebble.Batch, error) {
	ordered, err := o.read(batch.Reader())
	if err != nil || !ordered || len(o.rows) < 2 {
		return batch, err
	}
	slices.SortFunc(o.keys, func(a, b rowKey) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return cmp.Compare(a.index, b.index)
	})
	arranged := db.NewBatchWithSize(batch.Len())
	for _, k := range o.keys {
		if err := o.rows[k.index].stage(arranged); err != nil {
			return batch, errors.Join(err, arranged.Close())
		}
	}
	clear(o.rows)     // the rows refer to the batch
	_ = batch.Close() // only returns the batch to its pool
	return arranged, nil
}

// read collects the rows of a batch. It returns false if the batch contains anything but writes and deletions of single rows.
func (o *rowOrder) read(r batchrepr.Reader) (bool, error) {
	o.rows, o.keys = o.rows[:0], o.keys[:0]
	for {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err == nil, err
		}
		if kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindDelete && kind != pebble.InternalKeyKindSingleDelete {
			return false, nil
		}
		o.keys = append(o.keys, rowKey{prefix: prefixOf(key), index: uint32(len(o.rows))})
		o.rows = append(o.rows, batchRow{kind: kind, key: key, value: value})
	}
}

func (r *batchRow) stage(batch *pebble.Batch) error {
	switch r.kind {
	case pebble.InternalKeyKindDelete:
		return batch.Delete(r.key, nil)
	case pebble.InternalKeyKindSingleDelete:
		return batch.SingleDelete(r.key, nil)
	default:
		return batch.Set(r.key, r.value, nil)
	}
}
