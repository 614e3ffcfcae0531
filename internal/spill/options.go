package spill

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options tune a Spill; the zero value of a field means its default.
type Options struct {
	FS       vfs.FS           // default: the real disk
	Now      func() time.Time // default: time.Now; expiry of idempotency keys is measured by it
	MaxBytes int64            // of all entries, the quarantine too; default 1 GiB; full: Append answers StorageFull
	MinFree  uint64           // bytes; with less free space Append answers StorageFull; default max(1 GiB, 5 %)
	MemTable uint64           // bytes; default 16 MiB
	Log      *slog.Logger     // default: discards
}

const cacheSize = 8 << 20 // bytes: an entry is written once and read once, most of them from memory

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.MemTable = cmp.Or(o.MemTable, 16<<20)
	return o
}
