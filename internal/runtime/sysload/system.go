package sysload

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CPU returns the CPU time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// MaxFiles returns the soft limit of open files of this process. The Go runtime raises it to the hard limit at start.
func MaxFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

// System reads the files of a Linux system, relative to its root directory.
type System struct{ fs.FS }

// Linux returns the System that this process runs on.
func Linux() System { return System{os.DirFS("/")} }

// Memory returns the resident memory of this process in bytes, which is what a limit counts. It includes memory outside
// Go's heap, such as that of the embedded store.
func (s System) Memory() int64 {
	text, err := fs.ReadFile(s, "proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// MemoryLimit returns how much memory this process may use, in bytes: the lowest of the machine's memory and the limits of
// its control groups.
func (s System) MemoryLimit() int64 {
	least := s.machineMemory()
	for _, group := range s.groups() {
		for dir := group.dir; ; dir = path.Dir(dir) {
			if n := s.readNumber(path.Join(group.root, dir, group.file)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return least
}

// group is a directory in a hierarchy of control groups, and the name of the file that holds the limit.
type group struct{ root, dir, file string }

// groups returns the control groups of this process with a memory limit. Each line of /proc/self/cgroup has the form
// hierarchy:controllers:path (cgroups(7)).
func (s System) groups() []group {
	var found []group
	text, err := fs.ReadFile(s, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			found = append(found, group{"sys/fs/cgroup", parts[2], "memory.max"})
		} else if strings.Contains(","+parts[1]+",", ",memory,") {
			found = append(found, group{"sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"})
		}
	}
	return found
}

// readNumber returns the number in a file. It returns zero for "max" and for a missing file.
func (s System) readNumber(name string) int64 {
	text, err := fs.ReadFile(s, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// machineMemory returns the memory of the machine in bytes.
func (s System) machineMemory() int64 {
	text, err := fs.ReadFile(s, "proc/meminfo")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "MemTotal:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10 // bytes
		}
	}
	return 0
}
