package processes

import "syscall"

// attributes have the kernel ask the child to drain when the scaler dies, however that happens.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
