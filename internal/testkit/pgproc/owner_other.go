//go:build !linux

package pgproc

import "syscall"

// endWithOwner does nothing on this system: the server of a killed owner continues to run.
func endWithOwner(*syscall.SysProcAttr) {}
