package esh3ar

import "fmt"

// Status is the state of a message in its current life.
type Status uint8

// The statuses in the order of their ranks.
const (
	Scheduled Status = iota // accepted, not due yet
	Queued                  // in the recipient's inbox
	Pending                 // in the inbox; no device was connected
	Sent                    // handed to a connection
	Canceled                // canceled by the business
	Expired                 // its TTL ended
	Failed                  // its attempts are used up: a dead letter
	Delivered               // a device acknowledged it
	Read                    // the user saw it

	// Statuses is the number of statuses.
	Statuses = 9
)

// Life is the number of a life of a message: 1 from acceptance, one more with each replay from the dead letters.
type Life uint32

// Stage is the state of a message: its life and the status in it.
type Stage struct {
	Life   Life
	Status Status
}

// Rank returns the rank of a status within one life. The statuses that end a life without a receipt share one rank, so that none replaces
// another. They rank below Delivered, so that a late acknowledgement still counts.
func (s Status) Rank() uint8 { return statusTable[s].rank }

// Ends reports whether a message with this status has left its inbox.
func (s Status) Ends() bool { return statusTable[s].rank >= statusTable[Canceled].rank }

// CanBecome reports whether a message may change to the next stage: only if (life, rank) grows. Every store is tested against it with all
// pairs of stages.
func (s Stage) CanBecome(next Stage) bool {
	if next.Life != s.Life {
		return next.Life > s.Life
	}
	return next.Status.Rank() > s.Status.Rank()
}

// statusTable has the name and the rank of each status.
var statusTable = [Statuses]struct {
	name string
	rank uint8
}{
	Scheduled: {"scheduled", 0},
	Queued:    {"queued", 1},
	Pending:   {"pending", 2},
	Sent:      {"sent", 3},
	Canceled:  {"canceled", 4},
	Expired:   {"expired", 4},
	Failed:    {"failed", 4},
	Delivered: {"delivered", 5},
	Read:      {"read", 6},
}

// ParseStatus parses the outward name.
func ParseStatus(s string) (Status, error) {
	for i, row := range statusTable {
		if s == row.name {
			return Status(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a status", s)
}

// String returns the outward name.
func (s Status) String() string {
	if s < Statuses {
		return statusTable[s].name
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText returns the outward name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses the outward name.
func (s *Status) UnmarshalText(text []byte) error {
	var err error
	*s, err = ParseStatus(string(text))
	return err
}
