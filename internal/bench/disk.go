package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Parameters of the disk scenario.
const (
	diskSize     = 200     // bytes of content
	diskMessages = 400_000 // several memtables, so that flushes and compactions are in balance with what is written
)

// disk is budget B13: the bytes that a node causes to be written to the disk for a message that is accepted, sent and
// delivered. The kernel counts them for the process when it dirties a page, so that log, flushes and compactions all count.
func (r *run) disk(ctx context.Context) (err error) {
	messages, phones, callers := or(r.Stored, diskMessages), r.sockets("phones", or(r.Phones, 1000)), or(r.Callers, 300)
	r.say("disk: %d messages", messages)
	sized := run{Options: r.Options}
	sized.Size = diskSize
	f, err := sized.startScenario(ctx, phones, callers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.load.count(ctx, messages/4); err != nil { // the store is not empty
		return err
	}
	before, err := f.written()
	if err != nil {
		return err
	}
	if err := f.load.count(ctx, messages); err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	if _, err := rest(ctx, f.nodeCPU); err != nil {
		return err
	}
	after, err := f.written()
	if err != nil {
		return err
	}
	if after.bytes == before.bytes {
		return fmt.Errorf("the file system of %s does not count writes; set TMPDIR to a directory on a disk", f.nodes[0].dir)
	}
	perMessage := func(bytes int64) float64 { return float64(bytes) / float64(messages) / 1024 }
	r.report.add(Disk, "size of the store per message", perMessage(after.size-before.size), "KiB")
	r.report.budget(Disk, fmt.Sprintf("written per message of %d bytes", diskSize), perMessage(after.bytes-before.bytes), "KiB", "B13", 1.5, 0.8, false)
	r.faults(Disk, f.ledger)
	return nil
}

// written is what a node has written so far.
type written struct {
	bytes int64 // write_bytes of proc_pid_io(5)
	size  int64 // of the files in the data directory
}

func (f *scenarioRun) written() (w written, err error) {
	if w.bytes, err = writtenBy(f.nodes[0].node.PID()); err != nil {
		return w, err
	}
	w.size, err = sizeOf(f.nodes[0].dir)
	return w, err
}

// writtenBy returns the bytes that a process has caused to be written to a disk.
func writtenBy(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := bytes.CutPrefix(lines.Bytes(), []byte("write_bytes: ")); ok {
			return strconv.ParseInt(string(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/io: no line of write_bytes in %q", pid, text)
}

// sizeOf returns the size of all files below a directory. Files that are removed in the meantime do not count.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreRemoved(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreRemoved(err)
		}
		size += info.Size()
		return nil
	})
	return size, err
}

func ignoreRemoved(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
