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

// CPU is the CPU time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Files is how many files this process may have open; the Go runtime has raised it as far as the system allows.
func Files() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

// System is a Linux's view of itself: os.DirFS("/").
type System struct{ fs.FS }

// Linux is the one that we run on.
func Linux() System { return System{os.DirFS("/")} }

// Memory is the resident memory of this process in bytes: what counts against a limit, the store's own memory included.
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

// MemoryLimit is how much memory this process may have, in bytes: the least of what its control groups say, or else the
// machine's.
func (s System) MemoryLimit() int64 {
	least := s.machine()
	for _, group := range s.groups() {
		for dir := group.dir; ; dir = path.Dir(dir) {
			if n := s.number(path.Join(group.root, dir, group.file)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return least
}

// group is a place in a tree of control groups, and the file there that holds a limit.
type group struct{ root, dir, file string }

// groups are this process's places: one line of /proc/self/cgroup each, as hierarchy:controllers:path (cgroups(7)).
func (s System) groups() (found []group) {
	text, err := fs.ReadFile(s, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) < 3:
		case parts[0] == "0" && parts[1] == "":
			found = append(found, group{"sys/fs/cgroup", parts[2], "memory.max"})
		case strings.Contains(","+parts[1]+",", ",memory,"):
			found = append(found, group{"sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"})
		}
	}
	return found
}

// number reads a file that is one number; "max" and no file are zero.
func (s System) number(name string) int64 {
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

// machine is the memory that the machine has.
func (s System) machine() int64 {
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
			return kilobytes << 10
		}
	}
	return 0
}
