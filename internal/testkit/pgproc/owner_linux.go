package pgproc

import "syscall"

// endWithOwner makes the kernel shut the server down when its owner ends, so that a crashed test leaves no server
// behind.
func endWithOwner(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
