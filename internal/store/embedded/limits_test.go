package embedded_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// smallDisk is a disk that says how full it is.
type smallDisk struct {
	vfs.FS
	free, asked atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.asked.Add(1)
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 100 << 30}, nil
}

func one(m *esh3ar.Message) []*esh3ar.Call {
	return []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}
}

// TestStorageFull fills the disk: no message is taken, all else goes on, and when there is room again so do messages.
func TestStorageFull(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(6 << 30)
	var clock atomic.Int64
	clock.Store(1_800_000_000_000)
	s, err := embedded.Open("data", embedded.Options{FS: disk, SettleGather: gather, Now: func() time.Time { return time.UnixMilli(clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := newMessage(0)
	if _, err := s.Append(t.Context(), one(m)); err != nil {
		t.Fatal(err)
	}
	asked := disk.asked.Load()
	disk.free.Store(5<<30 - 1) // 5 % of 100 GiB is more than 1 GiB
	if _, err := s.Append(t.Context(), one(newMessage(1))); err != nil {
		t.Fatalf("within the second: %v", err)
	}
	if disk.asked.Load() != asked {
		t.Error("the disk is asked more than once a second")
	}
	clock.Add(1000)
	if _, err := s.Append(t.Context(), one(newMessage(2))); err == nil || esh3ar.CodeOf(err) != esh3ar.StorageFull {
		t.Fatalf("append on a full disk: %v", err)
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
		t.Errorf("append at the reserve: %v, want StorageFull until a sixteenth more is free", err)
	}
	disk.free.Store(5<<30 + 5<<26)
	clock.Add(-5000) // also a clock that was set back asks again
	if _, err := s.Append(t.Context(), one(newMessage(3))); err != nil {
		t.Errorf("append with room again: %v", err)
	}
}

// TestStats counts what was done, and OnCommit tells of each commit.
func TestStats(t *testing.T) {
	var told atomic.Int64
	s, err := embedded.Open("data", embedded.Options{FS: vfs.NewMem(), SettleGather: gather, OnCommit: func(embedded.CommitInfo) { told.Add(1) }})
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
	if err := s.Close(); err != nil { // after it every OnCommit has been called
		t.Fatal(err)
	}
	got := s.Stats()
	if got.Commits != 2 || got.Messages != 1 || got.Changes != 1 || got.Bytes == 0 || got.Refused != 0 || told.Load() != 2 {
		t.Errorf("got %+v, told %d times", got, told.Load())
	}
}
