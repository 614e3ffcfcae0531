package gateway

import (
	"errors"
	"sync/atomic"
	"syscall"
)

// fileLimit detects that this process cannot open connections, which is no fault of a node.
type fileLimit struct {
	told atomic.Int64 // time of the last log entry, in Unix seconds
}

// tellFilesEvery is the time between log entries while it lasts, in seconds.
const tellFilesEvery = 10

// isExhausted reports whether a dial failed for lack of descriptors or ports, and logs it at most every tellFilesEvery.
func (f *fileLimit) isExhausted(o *Options, err error) bool {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return false
	}
	told, now := f.told.Load(), o.Now().Unix()
	if now >= told+tellFilesEvery && f.told.CompareAndSwap(told, now) {
		o.Log.Error("cannot open connections: raise the limit of open files (ulimit -n) or add a gateway", "error", err)
	}
	return true
}
