package spill

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Options tune a Spill; the zero value of a field means its default.
type Options struct {
	FS           vfs.FS            // default: the real disk
	Now          func() time.Time  // default: time.Now; expiry of idempotency keys is measured by it
	MaxBytes     int64             // of all entries, the quarantine too; default 1 GiB; full: Append answers StorageFull
	Reserve      diskguard.Reserve // free space below which Append answers StorageFull; zero: the rule of disk.Reserve
	MemTable     uint64            // bytes; default 16 MiB, less on small volumes
	MaxOpenFiles int               // table files held open; default 1,000
	Log          *slog.Logger      // default: discards
}

const cacheSize = 8 << 20 // bytes: an entry is written once and read once, most of them from memory

const memTableSize = 16 << 20 // bytes

// withDefaults fills what is not set; dir is the spill's folder, whose volume bounds the memtables.
func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.FS = diskguard.NewRetry(o.FS, o.Log)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	if usage, err := o.FS.GetDiskUsage(dir); err == nil && o.MemTable == 0 {
		o.MemTable = diskguard.MemTable(usage.TotalBytes, memTableSize)
	}
	o.MemTable = cmp.Or(o.MemTable, memTableSize)
	return o
}
