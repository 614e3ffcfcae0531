package sysload_test

import (
	"os"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

func TestSystem_MemoryLimit_IsTheLowest(t *testing.T) {
	t.Parallel()
	const machine = "MemFree: 1 kB\nMemTotal:     4096 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known": {nil, 0},
		"the machine":   {map[string]string{"proc/meminfo": machine}, 4 << 20},
		"a container": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "2097152\n",
		}, 2 << 20},
		"a group above has less": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/pods/one\n",
			"sys/fs/cgroup/pods/memory.max": "1048576\n", "sys/fs/cgroup/pods/one/memory.max": "max\n",
		}, 1 << 20},
		"the first version": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "3:cpu,cpuacct:/a\n2:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3145728",
		}, 3 << 20},
		"more than there is": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9223372036854771712",
		}, 4 << 20},
		"damaged": {map[string]string{"proc/meminfo": "MemTotal: much\n", "proc/self/cgroup": "x\n"}, 0},
	} {
		files := fstest.MapFS{}
		for file, text := range c.files {
			files[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := (sysload.System{FS: files}).MemoryLimit(); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestSystem_ThisProcess_HasPlausibleValues(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads Linux's /proc")
	}
	before := sysload.CPU()
	for sum := 0; sysload.CPU() == before; sum++ {
		if sum > 1e9 {
			t.Fatal("CPU did not grow with work")
		}
	}
	s := sysload.Linux()
	if used, limit := s.Memory(), s.MemoryLimit(); used < 1<<20 || limit < used {
		t.Errorf("got memory %d, limit %d; want at least 1 MiB, within the limit", used, limit)
	}
	if n := sysload.MaxFiles(); n < 64 {
		t.Errorf("got %d files, want at least 64", n)
	}
	if n := (sysload.System{FS: fstest.MapFS{"proc/self/statm": {Data: []byte("9 2 1")}}}).Memory(); n != 2*int64(os.Getpagesize()) {
		t.Errorf("got %d bytes, want 2 pages", n)
	}
}
