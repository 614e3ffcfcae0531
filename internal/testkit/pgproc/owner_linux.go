package pgproc

import "syscall"

// endWithOwner has the kernel shut the server down when its owner dies, however that happens: nobody is left behind by a
// test that crashed.
func endWithOwner(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
