package embedded

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Options tune a store; the zero value of every field means its default.
type Options struct {
	FS           vfs.FS            // default: the real disk
	Now          func() time.Time  // default: time.Now; expiry of idempotency keys is measured by it
	SettleGather time.Duration     // how long settles wait for an append to share a commit with; default 10 ms
	Reserve      diskguard.Reserve // free space below which Append answers StorageFull; zero: the rule of disk.Reserve
	CacheSize    int64             // bytes of block cache; default 64 MiB
	MemTableSize uint64            // bytes; default 64 MiB, less on small volumes
	MaxOpenFiles int               // table files held open; default 1,000
	Log          *slog.Logger      // default: discards
	Crowded      func() bool       // whether goroutines wait for a processor; called by several, must be quick; default: they do not
	OnCommit     func(CommitInfo)  // called by the committer after each commit; must be quick

	baseLevel uint64 // bytes of the level that most compactions rewrite
}

// CommitInfo describes one commit.
type CommitInfo struct {
	Messages int           // appended
	Changes  int           // settled
	Bytes    int           // of the batch
	Stage    time.Duration // reading and building the batch
	Sync     time.Duration // writing and fsync
}

// settleBatch is as many changes as go without waiting for company: their own commit is well used then.
const settleBatch = 512

// memTableSize is large, so that what lives shortly never reaches a table.
const memTableSize = 64 << 20

// baseLevel is large: waiting for a larger base halves how often it is rewritten.
const baseLevel = 256 << 20

// withDefaults fills what is not set; dir is the store's folder, whose volume bounds the memtables.
func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SettleGather == 0 {
		o.SettleGather = 10 * time.Millisecond
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
	if o.Crowded == nil {
		o.Crowded = func() bool { return false }
	}
	if o.OnCommit == nil {
		o.OnCommit = func(CommitInfo) {}
	}
	return o
}
