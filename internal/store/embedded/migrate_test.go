package embedded

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
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
	if format, err := getRow(s.db, []byte{formatKey}); string(format) != "2" || err != nil {
		t.Errorf("got format %s, %v; want 2", format, err)
	}
}
