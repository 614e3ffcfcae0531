package embedded

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
)

// openPebble opens an empty database in memory.
func openPebble(t *testing.T) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// contentOf returns all rows of a database as text, in the order of their keys.
func contentOf(t *testing.T, db *pebble.DB) (rows []string) {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		rows = append(rows, fmt.Sprintf("%x=%x", it.Key(), it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// stageRandom stages rows and deletions with few different keys, so that many change the same row.
func stageRandom(t *testing.T, random *rand.Rand, batch *pebble.Batch) {
	t.Helper()
	for range 1 + random.IntN(300) {
		key := binary.BigEndian.AppendUint64([]byte{"musil"[random.IntN(5)]}, uint64(random.IntN(20)))
		key = append(key, byte(random.IntN(2)))
		key = key[:1+random.IntN(len(key))]
		var err error
		switch random.IntN(4) {
		case 0:
			err = batch.Delete(key, nil)
		case 1:
			err = batch.SingleDelete(append(key, 's'), nil)
		default:
			err = batch.Set(key, binary.BigEndian.AppendUint32(nil, random.Uint32()), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRowOrder_RandomBatches_HaveTheSameEffect commits the same batches as they are and in the order of keys.
func TestRowOrder_RandomBatches_HaveTheSameEffect(t *testing.T) {
	t.Parallel()
	plain, arranged := openPebble(t), openPebble(t)
	var order rowOrder
	for seed := range uint64(300) {
		batch, same := plain.NewBatch(), arranged.NewBatch()
		stageRandom(t, rand.New(rand.NewPCG(seed, 1)), batch)
		stageRandom(t, rand.New(rand.NewPCG(seed, 1)), same)
		rows := same.Count()
		same, err := order.arrange(arranged, same)
		if err != nil {
			t.Fatal(err)
		}
		if same.Count() != rows {
			t.Fatalf("seed %d: got %d rows, want %d", seed, same.Count(), rows)
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if err := same.Commit(pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if got, want := contentOf(t, arranged), contentOf(t, plain); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got rows %q, want %q", seed, got, want)
		}
	}
}

// TestRowOrder_RowsOfRecipients_AreInKeyOrder checks the order itself: without it, everything works and a message costs more.
func TestRowOrder_RowsOfRecipients_AreInKeyOrder(t *testing.T) {
	t.Parallel()
	db, random := openPebble(t), rand.New(rand.NewPCG(1, 2))
	batch := db.NewBatch()
	for range 500 {
		key := appendRecipientSeq(nil, "msuc"[random.IntN(4)], esh3ar.Recipient(967_700_000_000+random.Uint64N(1_000_000)), 1)
		if err := batch.Set(key, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var order rowOrder
	batch, err := order.arrange(db, batch)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for r := batch.Reader(); ; {
		_, key, _, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		keys = append(keys, string(key))
	}
	if len(keys) != 500 || !slices.IsSorted(keys) {
		t.Errorf("got %d keys, sorted: %t; want 500 sorted keys", len(keys), slices.IsSorted(keys))
	}
}

// TestRowOrder_RangeDeletion_KeepsTheBatch: rows before and after the deletion of a range must stay before and after it.
func TestRowOrder_RangeDeletion_KeepsTheBatch(t *testing.T) {
	t.Parallel()
	db := openPebble(t)
	batch := db.NewBatch()
	if err := batch.Set([]byte("e2"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := batch.DeleteRange([]byte("e0"), []byte("e9"), nil); err != nil {
		t.Fatal(err)
	}
	if err := batch.Set([]byte("e1"), nil, nil); err != nil {
		t.Fatal(err)
	}
	var order rowOrder
	batch, err := order.arrange(db, batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if got, want := contentOf(t, db), []string{"6531="}; !slices.Equal(got, want) {
		t.Errorf("got rows %q, want %q", got, want)
	}
}
