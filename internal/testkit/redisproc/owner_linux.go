package redisproc

import "syscall"

// endWithOwner has the kernel kill the child when its owner dies, however that happens.
func endWithOwner() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
