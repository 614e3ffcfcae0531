package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// migrations map a format to the function that migrates a store to the next format. Each ends with a synced batch that sets the
// format key. One that was interrupted is repeated from its start.
var migrations = map[int]func(*pebble.DB) error{1: migrateKeysToDays, 2: migrateBodies}

// migrateKeysToDays migrates to format 2, which prefixes idempotency keys with the day of their expiry.
func migrateKeysToDays(db *pebble.DB) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{idemKey}, UpperBound: []byte{idemKey + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	batch := db.NewBatch()
	defer batch.Close()
	for valid := it.First(); valid; valid = it.Next() {
		row, err := decodeIdem(it.Value())
		if err != nil {
			return fmt.Errorf("idempotency key %x: %w", it.Key(), err)
		}
		moved := append(appendIdemDay(nil, idemDay(row.expires)), it.Key()[1:]...)
		if err := errors.Join(batch.Set(moved, it.Value(), nil), batch.Delete(it.Key(), nil)); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if err := batch.Set([]byte{formatKey}, []byte("2"), nil); err != nil {
		return err
	}
	return batch.Commit(pebble.Sync)
}

// migrationBatch bounds the batches of migrateBodies, in bytes.
const migrationBatch = 4 << 20

// migrateBodies migrates to format 3, in which bodies are encoded like the messages of spills and hints.
func migrateBodies(db *pebble.DB) error {
	for _, kind := range []byte{bodyKey, unnumberedBodyKey} {
		if err := migrateBodiesOf(db, kind); err != nil {
			return err
		}
	}
	return db.Set([]byte{formatKey}, []byte("3"), pebble.Sync)
}

func migrateBodiesOf(db *pebble.DB, kind byte) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	batch := db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	for valid := it.First(); valid; valid = it.Next() {
		key, row := it.Key(), it.Value()
		if len(row) > 0 && row[0] == bodyFormat {
			continue // by a migration that was interrupted
		}
		var recipient esh3ar.Recipient
		var seq esh3ar.Seq
		if kind == bodyKey && len(key) == 17 {
			recipient, seq = esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:]))
		}
		m, err := decodeBodyFormat1(row, recipient, seq)
		if err != nil {
			return fmt.Errorf("body %x: %w", key, err)
		}
		if err := batch.Set(key, appendBody(nil, &m, seq), nil); err != nil {
			return err
		}
		if batch.Len() < migrationBatch {
			continue
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			return err
		}
		batch.Reset()
	}
	if err := it.Error(); err != nil {
		return err
	}
	return batch.Commit(pebble.Sync)
}

// decodeBodyFormat1 decodes a body of the store formats 1 and 2. recipient and seq come from its key; if seq is zero, the row contains
// the recipient.
func decodeBodyFormat1(row []byte, recipient esh3ar.Recipient, seq esh3ar.Seq) (esh3ar.Message, error) {
	var m esh3ar.Message
	r := newReader(row)
	m.ID.UUID, m.Business.UUID = r.UUID(), r.UUID()
	m.Recipient = recipient
	m.Seq = seq
	m.Priority = esh3ar.Priority(r.Byte())
	m.SendAt, m.ExpiresAt = esh3ar.Time(r.Varint()), esh3ar.Time(r.Varint())
	m.From, m.Subject, m.Content, m.CorrelationID = r.Text(), r.Text(), r.Text(), r.Text()
	m.Metadata = r.Texts()
	if len(r.Rest()) > 0 {
		m.TTL = time.Duration(r.Uvarint()) * time.Second
	}
	if seq == 0 {
		m.Recipient = esh3ar.Recipient(r.Uvarint())
	}
	if m.Priority >= esh3ar.Priorities {
		r.Fail()
	}
	return m, r.Err()
}
