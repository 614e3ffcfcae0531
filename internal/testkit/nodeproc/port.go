package nodeproc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// The ports that FreePort chooses from: below those that Linux gives to outgoing connections (ip_local_port_range, 32768 to 60999), or
// one of the thousands that tests open could take the port before its server has it.
const firstPort, ports = 12_000, 10_000

// given holds the ports reserved by this process. Other processes of this user see them as locks on bytes of a file,
// which the kernel releases when the process ends.
var given struct {
	sync.Mutex
	file  *os.File // never closed: that would end the locks
	ports map[int]bool
}

// FreePort returns a free loopback address and reserves it for the lifetime of this process. No other call, in any
// process of this user, returns it in that time, so a server can use its port again after a crash.
func FreePort() (addr string, err error) {
	given.Lock()
	defer given.Unlock()
	err = errors.New("no port is free")
	for range 1000 {
		port := firstPort + rand.IntN(ports)
		taken, failed := takeLocked(port)
		if failed != nil {
			return "", failed
		}
		if !taken {
			continue
		}
		addr = fmt.Sprintf("127.0.0.1:%d", port)
		listener, failed := net.Listen("tcp", addr)
		if failed == nil {
			return addr, listener.Close()
		}
		err = failed
	}
	return "", err
}

// takeLocked reserves a port. It reports false if the port is reserved already.
func takeLocked(port int) (taken bool, err error) {
	if given.file == nil {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("esh3ar-ports-%d", os.Getuid()))
		if given.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return false, fmt.Errorf("reserve a port: %w", err)
		}
		given.ports = map[int]bool{}
	}
	if given.ports[port] { // locks do not conflict within one process
		return false, nil
	}
	err = syscall.FcntlFlock(given.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(port), Len: 1})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reserve a port: %w", err)
	}
	given.ports[port] = true
	return true, nil
}
