//go:build !linux

package processes

import "syscall"

// attributes know no way here to end the children of a scaler that is killed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
