package connlimit

import (
	"errors"
	"syscall"
)

// maxFiles caps the result if the limit is larger or unlimited.
const maxFiles = 1 << 20

// RaiseFiles raises the soft limit of open files to the hard limit and returns the new limit, or zero if the system does not
// report it. Go's runtime does the same at start, except if a parent process has lowered the limit on purpose.
func RaiseFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return int(min(limit.Cur, maxFiles))
}

// Exhausted reports whether err means that this process (EMFILE) or the system (ENFILE) has no descriptor left. Such an error
// is unrelated to the file or peer of the operation.
func Exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
