package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const category = vfs.WriteCategoryUnspecified

// TestFS_RandomOperations_MatchesModel applies the same operations to this file system and to Pebble's model of a crashing
// disk. After each step it compares what a running process sees, and what each disk holds if the power fails now.
func TestFS_RandomOperations_MatchesModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runAgainstModel(t, seed) })
	}
}

func runAgainstModel(t *testing.T, seed uint64) {
	disk, model := vfs.NewMem(), vfs.NewCrashableMem()
	forgetful := New(disk)
	for _, fs := range []vfs.FS{forgetful, model} {
		must(t, fs.MkdirAll("d", 0o755))
		root, err := fs.OpenDir("/")
		must(t, err)
		must(t, root.Sync())
		must(t, root.Close())
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	both := &pair{t: t, rng: rng, fs: [2]vfs.FS{forgetful, model}}
	for i := range 120 {
		what := both.step()
		if live, wanted := dump(t, forgetful), dump(t, model); live != wanted {
			t.Fatalf("step %d, %s: process sees %s, want %s", i, what, live, wanted)
		}
		if left, wanted := dump(t, New(disk)), dump(t, model.CrashClone(vfs.CrashCloneCfg{})); left != wanted {
			t.Fatalf("step %d, %s: disk after a power failure: got %s, want %s", i, what, left, wanted)
		}
	}
}

// pair applies operations to two file systems.
type pair struct {
	t    *testing.T
	rng  *rand.Rand
	fs   [2]vfs.FS
	open [][2]vfs.File
}

func (p *pair) name() string { return "d/" + string(rune('a'+p.rng.IntN(5))) }

// each applies one operation to both and compares whether they fail.
func (p *pair) each(do func(i int, fs vfs.FS) error) bool {
	a, b := do(0, p.fs[0]), do(1, p.fs[1])
	if (a == nil) != (b == nil) {
		p.t.Fatalf("got error %v, the model returned %v", a, b)
	}
	return a == nil
}

func (p *pair) step() string {
	name, other := p.name(), p.name()
	var files [2]vfs.File
	switch n := p.rng.IntN(10); n {
	case 0, 1:
		p.each(func(i int, fs vfs.FS) (err error) { files[i], err = fs.Create(name, category); return err })
		p.open = append(p.open, files)
		return "create " + name
	case 2:
		if p.each(func(_ int, fs vfs.FS) error { return fs.Remove(name) }) {
			return "remove " + name
		}
		return "remove nothing"
	case 3:
		if name != other {
			p.each(func(_ int, fs vfs.FS) error { return fs.Rename(name, other) })
		}
		return "rename " + name + " " + other
	case 4:
		if name != other && p.each(func(i int, fs vfs.FS) (err error) {
			files[i], err = fs.ReuseForWrite(name, other, category)
			return err
		}) {
			p.open = append(p.open, files)
		}
		return "reuse " + name + " " + other
	case 5:
		p.each(func(_ int, fs vfs.FS) error {
			d, err := fs.OpenDir("d")
			must(p.t, err)
			defer d.Close()
			return d.Sync()
		})
		return "sync directory"
	default:
		return p.fileStep(n)
	}
}

func (p *pair) fileStep(n int) string {
	if len(p.open) == 0 {
		return "nothing"
	}
	i := p.rng.IntN(len(p.open))
	files := p.open[i]
	switch n {
	case 6, 7:
		data := fmt.Appendf(nil, "<%d>", p.rng.IntN(1000))
		p.each(func(i int, _ vfs.FS) error { _, err := files[i].Write(slices.Clone(data)); return err })
		return "write"
	case 8:
		p.each(func(i int, _ vfs.FS) error { return files[i].Sync() })
		return "sync"
	default:
		p.each(func(i int, _ vfs.FS) error { return files[i].Close() })
		p.open = slices.Delete(p.open, i, i+1)
		return "close"
	}
}

// dump returns all names and contents.
func dump(t *testing.T, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List("d")
	must(t, err)
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range names {
		file, err := fs.Open("d/" + name)
		must(t, err)
		data, err := io.ReadAll(file)
		must(t, err)
		info, err := fs.Stat("d/" + name)
		must(t, err)
		if info.Size() != int64(len(data)) {
			t.Fatalf("%s: Stat reports %d bytes, read %d", name, info.Size(), len(data))
		}
		must(t, file.Close())
		fmt.Fprintf(&out, "%s=%s ", name, data)
	}
	return out.String()
}

func TestFile_UnsyncedWrites_AreReadableAndNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	fs := New(vfs.Default)
	name := fs.PathJoin(dir, "f")
	file, err := fs.Create(name, category)
	must(t, err)
	_, err = file.Write([]byte("0123456789"))
	must(t, err)
	p := make([]byte, 4)
	n, err := file.ReadAt(p, 8)
	if n != 2 || !errors.Is(err, io.EOF) || string(p[:n]) != "89" {
		t.Fatalf("got %q, %v; want 89 and EOF", p[:n], err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Fatalf("file is on the disk before its directory was synced: %v", err)
	}
	must(t, file.Sync())
	d, err := fs.OpenDir(dir)
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
	_, err = file.Write([]byte("lost"))
	must(t, err)
	must(t, file.Close())
	if data, err := os.ReadFile(name); err != nil || string(data) != "0123456789" {
		t.Fatalf("the disk holds %q, %v; want the synced bytes only", data, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
