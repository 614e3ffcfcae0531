package embedded

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Options configure a store. The zero value of a field selects its default.
type Options struct {
	FS           vfs.FS            // default: the operating system's file system
	Now          func() time.Time  // clock for the expiry of idempotency keys; default time.Now
	SettleLinger time.Duration     // longest time that settles wait for an append to share a commit with; default 10 ms
	Reserve      diskguard.Reserve // free space below which Append returns StorageFull; zero: see diskguard.Reserve
	CacheSize    int64             // block cache, bytes; default 64 MiB
	MemTableSize uint64            // memtable, bytes; default 64 MiB, less on small volumes
	MaxOpenFiles int               // open table files; default 1,000
	Log          *slog.Logger      // default: discards everything
	CPUContended func() bool       // reports whether goroutines wait for a CPU; must be fast and safe for concurrent use; default: never
	OnCommit     func(CommitInfo)  // called by the committer after each commit; must be fast

	baseLevel uint64 // target size of the level that most compactions rewrite, bytes
}

// CommitInfo describes one commit.
type CommitInfo struct {
	Messages int           // messages appended
	Changes  int           // changes settled
	Bytes    int           // size of the batch
	Stage    time.Duration // time spent reading and building the batch
	Sync     time.Duration // time spent writing and syncing
}

// settleBatch is the number of queued changes that are committed without waiting for an append: they fill a commit of their
// own.
const settleBatch = 512

// memTableSize is the default memtable size. It is large so that short-lived rows never reach a table.
const memTableSize = 64 << 20

// baseLevel is the default target size of the base level. A larger base level is rewritten half as often.
const baseLevel = 256 << 20

// withDefaults returns o with defaults for unset fields. dir is the store's directory; the size of its volume limits the
// memtables.
func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SettleLinger == 0 {
		o.SettleLinger = 10 * time.Millisecond
	}
	if o.CacheSize == 0 {
		o.CacheSize = 64 << 20
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = memTableSize
		if usage, err := o.FS.GetDiskUsage(dir); err == nil {
			o.MemTableSize = diskguard.MemTable(usage.TotalBytes, memTableSize)
			o.baseLevel = diskguard.BaseLevel(usage.TotalBytes, baseLevel)
		}
	}
	o.baseLevel = cmp.Or(o.baseLevel, baseLevel)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.FS = diskguard.NewRetry(o.FS, o.Log)
	if o.CPUContended == nil {
		o.CPUContended = func() bool { return false }
	}
	if o.OnCommit == nil {
		o.OnCommit = func(CommitInfo) {}
	}
	return o
}
