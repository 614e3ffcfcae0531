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

// given are the ports that this process has been given. Other processes of this user see them as locks on the bytes of a file,
// which end with the process, however it ends.
var given struct {
	sync.Mutex
	file  *os.File // never closed: that would end the locks
	ports map[int]bool
}

// FreePort finds a loopback address that nobody listens on. It is given to nobody else while this process lives: a server finds its
// port free when it starts, and when it comes back after a crash, however many others look for ports meanwhile.
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

// takeLocked takes a port, unless somebody has it.
func takeLocked(port int) (taken bool, err error) {
	if given.file == nil {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("esh3ar-ports-%d", os.Getuid()))
		if given.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return false, fmt.Errorf("take a port: %w", err)
		}
		given.ports = map[int]bool{}
	}
	if given.ports[port] { // a process's own locks do not hold it up
		return false, nil
	}
	err = syscall.FcntlFlock(given.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: int64(port), Len: 1})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take a port: %w", err)
	}
	given.ports[port] = true
	return true, nil
}
