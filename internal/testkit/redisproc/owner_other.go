//go:build !linux

package redisproc

import "syscall"

// endWithOwner knows no way here: the child of an owner that is killed lives on.
func endWithOwner() *syscall.SysProcAttr { return nil }
