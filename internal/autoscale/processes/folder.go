package processes

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folder holds the data directories of the children, and belongs to one scaler at a time.
type folder struct {
	dir  string
	name string   // of its nodes, made once: no two folders give the same
	lock *os.File // held until close
}

// openFolder makes the folder where it is not there.
func openFolder(dir string) (f *folder, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := take(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s is in use by another scaler; give this one another --data-dir", dir)
	}
	f = &folder{dir: dir, lock: lock}
	if f.name, err = nameOf(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// nameOf is the name that was made once.
func nameOf(dir string) (string, error) {
	path := filepath.Join(dir, "name")
	if text, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(text)) != "" {
		return strings.TrimSpace(string(text)), nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "scaled"
	}
	name := host + "-" + strings.ToLower(rand.Text()[:5])
	return name, os.WriteFile(path, []byte(name+"\n"), 0o600)
}

// data is the data directory of a child, id its --node-id.
func (f *folder) data(slot int) string { return filepath.Join(f.dir, strconv.Itoa(slot)) }

// slots are the places of which there is a data directory.
func (f *folder) slots() (slots []int) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil // it was made a moment ago
	}
	for _, e := range entries {
		if slot, err := strconv.Atoi(e.Name()); err == nil && slot > 0 && e.IsDir() {
			slots = append(slots, slot)
		}
	}
	return slots
}

func (f *folder) id(slot int) string { return f.name + "-" + strconv.Itoa(slot) }

func (f *folder) close() error { return f.lock.Close() }

// takeWithin is how long a lock is waited for: a program that is just being started by somebody else in this process has a copy
// of every open file until it runs.
const takeWithin = time.Second

func take(lock *os.File) (err error) {
	for deadline := time.Now().Add(takeWithin); ; {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
