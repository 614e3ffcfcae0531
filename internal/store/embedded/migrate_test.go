package embedded

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// TestStore_OpenFormat1_MovesKeysToDays opens a store of format 1, whose idempotency keys have no day prefix.
func TestStore_OpenFormat1_MovesKeysToDays(t *testing.T) {
	disk := vfs.NewMem()
	s, err := Open("data", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	scope := scopeOf(esh3ar.NewBusinessID(), "k")
	row := idemRow{fingerprint: [32]byte{1}, expires: esh3ar.TimeOf(time.Now().Add(time.Hour)), receipts: []esh3ar.Receipt{{ID: esh3ar.NewMessageID(), Seq: 7}}}
	old := append(append([]byte{idemKey}, scope.business.UUID[:]...), scope.sum[:]...)
	if err := s.db.Set(old, row.append(nil), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set([]byte{formatKey}, []byte("1"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("data", Options{FS: disk}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	call := &esh3ar.Call{Business: scope.business, Key: &esh3ar.IdempotencyKey{Key: "k", Fingerprint: row.fingerprint, ExpiresAt: row.expires}}
	answers, err := s.Append(t.Context(), []*esh3ar.Call{call})
	if err != nil || answers[0].Outcome != esh3ar.Replayed || answers[0].Receipts[0].Seq != 7 {
		t.Errorf("got %+v, %v; want the stored receipt with seq 7", answers, err)
	}
	if stored, err := getRow(s.db, old); stored != nil || err != nil {
		t.Errorf("old row: got %x, %v; want none", stored, err)
	}
	if format, err := getRow(s.db, []byte{formatKey}); string(format) != "3" || err != nil {
		t.Errorf("got format %s, %v; want 3", format, err)
	}
}

// appendBodyFormat1 appends a body as the store formats 1 and 2 had it.
func appendBodyFormat1(dst []byte, m *esh3ar.Message, seq esh3ar.Seq) []byte {
	dst = append(append(dst, rowFormat), m.ID.UUID[:]...)
	dst = append(append(dst, m.Business.UUID[:]...), byte(m.Priority))
	dst = binary.AppendVarint(dst, int64(m.SendAt))
	dst = binary.AppendVarint(dst, int64(m.ExpiresAt))
	for _, s := range [...]string{m.From, m.Subject, m.Content, m.CorrelationID} {
		dst = codec.AppendText(dst, s)
	}
	dst = codec.AppendText(codec.AppendText(append(dst, 1), "name"), m.Metadata["name"])
	if m.TTL == 0 && seq != 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(m.TTL/time.Second))
	if seq == 0 {
		dst = binary.AppendUvarint(dst, uint64(m.Recipient))
	}
	return dst
}

// TestStore_OpenFormat2_ReencodesBodies opens a store of format 2 with more bodies than one batch of the migration takes. Some of them
// are in the new encoding already, as after an interrupted migration.
func TestStore_OpenFormat2_ReencodesBodies(t *testing.T) {
	t.Parallel()
	const messages = 3000
	disk := vfs.NewMem()
	s, err := Open("data", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	business := esh3ar.NewBusinessID()
	stored := make([]*esh3ar.Message, messages)
	for i := range stored {
		m := &esh3ar.Message{
			ID: esh3ar.NewMessageID(), Business: business, From: "Saba Bank", Recipient: esh3ar.Recipient(967771000000 + i%7), Priority: esh3ar.Priority(i % 4),
			Subject: "s", Content: strings.Repeat("x", 2000), CorrelationID: "c", Metadata: map[string]string{"name": "value"},
		}
		if i%3 == 0 {
			m.TTL, m.ExpiresAt = time.Hour, esh3ar.TimeOf(time.Now().Add(time.Hour))
		}
		if i%5 == 0 {
			m.SendAt = esh3ar.TimeOf(time.Now().Add(time.Minute))
		}
		if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
			t.Fatal(err)
		}
		stored[i] = m
		if i%10 == 0 {
			continue
		}
		key := appendBodyKey(nil, m.Recipient, m.Seq, m.ID)
		if row, err := getRow(s.db, key); err != nil || row == nil {
			t.Fatalf("body %x: got %x, %v; want a row", key, row, err)
		}
		if err := s.db.Set(key, appendBodyFormat1(nil, m, m.Seq), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Set([]byte{formatKey}, []byte("2"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("data", Options{FS: disk}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, m := range stored {
		got, err := s.Message(t.Context(), m.ID)
		if err != nil || !reflect.DeepEqual(got.Message, *m) {
			t.Fatalf("message %d: got %+v, %v; want %+v", i, got.Message, err, *m)
		}
	}
	if survey, err := s.Verify(t.Context(), false, func(f esh3ar.Finding) { t.Errorf("verify: %+v", f) }); err != nil || survey.Findings != 0 {
		t.Errorf("verify: got %+v, %v; want no findings", survey, err)
	}
}
