package torture

import (
	"encoding/json"
	"os"
	"sync"
)

// Entry is one line of the ledger: what the outside saw. Kind says which fields count.
type Entry struct {
	Kind     string `json:"kind"`
	Number   int    `json:"number,omitempty"`   // of the message, as its content carries it
	Key      string `json:"key,omitempty"`      // idempotency key of its call
	To       uint64 `json:"to,omitempty"`       // recipient
	ID       string `json:"id,omitempty"`       // of the message
	Seq      uint64 `json:"seq,omitempty"`      //
	Lane     string `json:"lane,omitempty"`     // priority
	Conn     int    `json:"conn,omitempty"`     // which connection
	Attempt  int    `json:"attempt,omitempty"`  //
	Status   string `json:"status,omitempty"`   // at the end
	Versions string `json:"versions,omitempty"` // of its history at the end, such as "1 queued 2 sent"
}

// The kinds of entries.
const (
	Called   = "called"   // a message was offered
	Accepted = "accepted" // answered 202
	Refused  = "refused"  // answered with an error that means "not taken"
	Unknown  = "unknown"  // no answer
	Received = "received" // by a phone
	Acked    = "acked"    // the phone's acknowledgement was completed
	Final    = "final"    // what the node says of it at the end
	Killed   = "killed"   // the node
)

// Ledger keeps entries in the order in which they were noted, in memory and in a file.
type Ledger struct {
	mu      sync.Mutex
	entries []Entry
	file    *os.File
	failed  error
}

// NewLedger makes a ledger that also appends to a file.
func NewLedger(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &Ledger{file: file}, err
}

// Note adds an entry.
func (l *Ledger) Note(e Entry) {
	line, err := json.Marshal(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil && l.failed == nil {
		l.failed = err
	}
}

// Close closes the file; it gives the first failure to write it.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); l.failed == nil {
		l.failed = err
	}
	return l.failed
}

// Entries is a copy of all.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.entries...)
}

// missing counts accepted messages that no phone has received yet.
func (l *Ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := map[string]bool{}
	for _, e := range l.entries {
		if e.Kind == Accepted {
			waiting[e.ID] = true
		}
	}
	for _, e := range l.entries {
		if e.Kind == Received {
			delete(waiting, e.ID)
		}
	}
	return len(waiting)
}
