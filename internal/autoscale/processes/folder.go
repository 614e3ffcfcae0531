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

// folder is the directory that holds the data directories of the children. One scaler at a time may use it.
type folder struct {
	dir  string
	name string   // prefix of the node ids; generated once, unique per folder
	lock *os.File // held until close
}

// openFolder opens the folder and creates it if necessary.
func openFolder(dir string) (*folder, error) {
	var f *folder
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

// nameOf returns the name that was generated for the folder.
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

// data returns the data directory of a slot; id returns the --node-id of its node.
func (f *folder) data(slot int) string { return filepath.Join(f.dir, strconv.Itoa(slot)) }

// slots returns the slots that have a data directory.
func (f *folder) slots() (slots []int) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil // the folder was just created, so this does not happen
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

// takeWithin is how long to retry a lock: a process that another goroutine is just starting holds a copy of every open file until
// its exec.
const takeWithin = time.Second

func take(lock *os.File) error {
	var err error
	for deadline := time.Now().Add(takeWithin); ; {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
