package embedded_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// smallDisk is a disk with a configurable amount of free space.
type smallDisk struct {
	vfs.FS
	free, asked atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.asked.Add(1)
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 100 << 30}, nil
}

// one returns a batch of one call with one message.
func one(m *esh3ar.Message) []*esh3ar.Call {
	return []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}
}

// TestStore_DiskFull_RejectsMessagesOnly fills the disk: appends fail, everything else works, and appends work again when
// space is free.
func TestStore_DiskFull_RejectsMessagesOnly(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(6 << 30)
	var clock atomic.Int64
	clock.Store(1_800_000_000_000)
	s, err := embedded.Open("data", embedded.Options{FS: disk, SettleLinger: gather, Now: func() time.Time { return time.UnixMilli(clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := newMessage(0)
	if _, err := s.Append(t.Context(), one(m)); err != nil {
		t.Fatal(err)
	}
	asked := disk.asked.Load()
	disk.free.Store(5<<30 - 1) // the reserve is 5 % of 100 GiB
	if _, err := s.Append(t.Context(), one(newMessage(1))); err != nil {
		t.Fatalf("append within a second of the last disk check: %v", err)
	}
	if disk.asked.Load() != asked {
		t.Error("the disk was checked again within a second")
	}
	clock.Add(1000)
	if _, err := s.Append(t.Context(), one(newMessage(2))); err == nil || esh3ar.CodeOf(err) != esh3ar.StorageFull {
		t.Fatalf("append on a full disk: got %v, want StorageFull", err)
	}
	if r, err := s.Settle(t.Context(), []esh3ar.Change{{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Delivered}}); err != nil || !r[0].Applied {
		t.Errorf("settle on a full disk: %v %v", r, err)
	}
	if err := s.CreateBusiness(t.Context(), esh3ar.Business{ID: business}); err != nil {
		t.Errorf("account on a full disk: %v", err)
	}
	disk.free.Store(5 << 30)
	clock.Add(1000)
	if _, err := s.Append(t.Context(), one(newMessage(3))); esh3ar.CodeOf(err) != esh3ar.StorageFull {
		t.Errorf("append at the reserve: got %v, want StorageFull until a sixteenth more is free", err)
	}
	disk.free.Store(5<<30 + 5<<26)
	clock.Add(-5000) // a clock that was set back must also cause a check
	if _, err := s.Append(t.Context(), one(newMessage(3))); err != nil {
		t.Errorf("append with room again: %v", err)
	}
}

// TestStore_Stats_CountsCommits checks the counters, and the number of OnCommit calls.
func TestStore_Stats_CountsCommits(t *testing.T) {
	var commits atomic.Int64
	s, err := embedded.Open("data", embedded.Options{FS: vfs.NewMem(), SettleLinger: gather, OnCommit: func(embedded.CommitInfo) { commits.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	m := newMessage(0)
	if _, err := s.Append(t.Context(), one(m)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Settle(t.Context(), []esh3ar.Change{{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Sent}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // Close returns after the last OnCommit
		t.Fatal(err)
	}
	got := s.Stats()
	if got.Commits != 2 || got.Messages != 1 || got.Changes != 1 || got.Bytes == 0 || got.Refused != 0 || commits.Load() != 2 {
		t.Errorf("got %+v and %d OnCommit calls, want 2 commits, 1 message, 1 change, 2 calls", got, commits.Load())
	}
}
