package gateway

import (
	"errors"
	"sync/atomic"
	"syscall"
)

// files notices that this process can make no connections: that is no node's fault.
type files struct {
	told atomic.Int64 // Unix seconds of the last word about it
}

// tellFilesEvery is how often the log says so while it lasts, in seconds.
const tellFilesEvery = 10

// lack tells whether an error of a dial is a want of files or ports here, and logs it now and then.
func (f *files) lack(o *Options, err error) bool {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return false
	}
	told, now := f.told.Load(), o.Now().Unix()
	if now >= told+tellFilesEvery && f.told.CompareAndSwap(told, now) {
		o.Log.Error("no connection can be made here: raise the limit of open files (ulimit -n) or add a gateway", "error", err)
	}
	return true
}
