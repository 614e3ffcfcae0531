package embedded

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options tune a store; the zero value of every field means its default.
type Options struct {
	FS           vfs.FS           // default: the real disk
	Now          func() time.Time // default: time.Now; expiry of idempotency keys is measured by it
	SettleGather time.Duration    // how long settles wait for an append to share a commit with; default 10 ms
	MinFree      uint64           // bytes; with less free space Append answers StorageFull; default max(1 GiB, 5 %)
	CacheSize    int64            // bytes of block cache; default 64 MiB
	MemTableSize uint64           // bytes; default 64 MiB
	Log          *slog.Logger     // default: discards
	Crowded      func() bool      // whether goroutines wait for a processor; called by several, must be quick; default: they do not
	OnCommit     func(CommitInfo) // called by the committer after each commit; must be quick
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

func (o Options) withDefaults() Options {
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
		o.MemTableSize = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Crowded == nil {
		o.Crowded = func() bool { return false }
	}
	if o.OnCommit == nil {
		o.OnCommit = func(CommitInfo) {}
	}
	return o
}
