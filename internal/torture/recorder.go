package torture

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// recorder holds the ledger: the book of the current round, and a file with all its entries for debugging.
type recorder struct {
	dir   string
	clock clock
	keep  bool // whether to keep the files of rounds without a breach

	mu     sync.Mutex
	book   *checker.Book
	round  int
	file   *os.File
	writer *bufio.Writer
	failed error
}

// begin opens the book of the next round.
func (r *recorder) begin(start checker.Carry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round++
	file, err := os.OpenFile(r.path(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r.file, r.writer = file, bufio.NewWriterSize(file, 256<<10)
	r.book = checker.NewBook(checker.Rules{Attempts: attempts}, start)
	return nil
}

func (r *recorder) path() string {
	return filepath.Join(r.dir, fmt.Sprintf("ledger-%04d.jsonl", r.round))
}

// note adds an entry. A zero At means now.
func (r *recorder) note(e checker.Entry) {
	if e.At == 0 {
		e.At = r.clock.now()
	}
	line, err := json.Marshal(&e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.book == nil {
		return // between rounds only event consumers run, and they see repeats only
	}
	r.book.Note(&e)
	if err == nil {
		_, err = r.writer.Write(append(line, '\n'))
	}
	if r.failed == nil {
		r.failed = err
	}
}

// ask calls look with the book under the lock.
func (r *recorder) ask(look func(*checker.Book)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	look(r.book)
}

// judgePatience bounds the linearizability checks of one round.
const judgePatience = 2 * time.Minute

// judge closes the book and returns its verdict. It deletes the file if nothing was broken and keep is false.
func (r *recorder) judge() (checker.Verdict, checker.Carry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, carry := r.book.Judge(judgePatience)
	r.book = nil
	err := errors.Join(r.failed, r.writer.Flush(), r.file.Close())
	if err == nil && v.Clean() && !r.keep {
		err = os.Remove(r.path())
	}
	return v, carry, err
}

// close ends a round without a verdict.
func (r *recorder) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.book == nil {
		return nil
	}
	r.book = nil
	return errors.Join(r.writer.Flush(), r.file.Close())
}
