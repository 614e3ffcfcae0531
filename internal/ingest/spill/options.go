package spill

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Options configure a Spill. A field's zero value selects its default.
type Options struct {
	FS           vfs.FS            // default: the disk
	Now          func() time.Time  // clock for the expiry of idempotency keys; default: time.Now
	MaxBytes     int64             // size of all entries, with those in quarantine, at which Append answers StorageFull; default 1 GiB
	Reserve      diskguard.Reserve // free space on the volume below which Append answers StorageFull; default: that of diskguard
	MemTable     uint64            // size of a memtable in bytes; default 16 MiB, less on small volumes
	MaxOpenFiles int               // table files that are open at most; default 1,000
	Log          *slog.Logger      // default: discards
}

// cacheSize is the size of the block cache in bytes. It is small: an entry is written once and read once, mostly from a memtable.
const cacheSize = 8 << 20

// memTableSize is the default size of a memtable in bytes.
const memTableSize = 16 << 20

// withDefaults returns the options with their defaults. dir is the folder of the spill; the size of its volume bounds the memtables.
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
