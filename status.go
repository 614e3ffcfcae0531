package esh3ar

import "fmt"

// Status is how far a message has come in its current life.
type Status uint8

// The statuses in the order of their ranks.
const (
	Scheduled Status = iota // accepted, not due yet
	Queued                  // in the recipient's inbox
	Pending                 // in the inbox, and nobody was there
	Sent                    // handed to a connection
	Canceled                // taken back by the business
	Expired                 // its time to live passed
	Failed                  // its attempts are spent: in the dead letters
	Delivered               // a device acknowledged it
	Read                    // the user saw it

	// Statuses is how many there are.
	Statuses = 9
)

// Life counts the lives of a message: 1 from acceptance, one more with each replay from the dead letters.
type Life uint32

// Stage is a message's position: which life, and how far in it.
type Stage struct {
	Life   Life
	Status Status
}

// Rank orders the statuses within one life. Those that end a life without a receipt share one rank, so that
// none of them replaces another, and lie below Delivered, so that a late acknowledgement still counts.
func (s Status) Rank() uint8 { return statusTable[s].rank }

// Ends tells whether a message of this status has left its inbox: no device waits for it any more.
func (s Status) Ends() bool { return statusTable[s].rank >= statusTable[Canceled].rank }

// CanBecome is the one rule of status changes: a change applies only if (life, rank) grows. It is pure, and
// every store is held against it over all pairs of stages.
func (s Stage) CanBecome(next Stage) bool {
	if next.Life != s.Life {
		return next.Life > s.Life
	}
	return next.Status.Rank() > s.Status.Rank()
}

// statusTable is the whole of what is known of a status; stores that cannot call CanBecome receive it as data.
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

// ParseStatus reads the outward name.
func ParseStatus(s string) (Status, error) {
	for i, row := range statusTable {
		if s == row.name {
			return Status(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a status", s)
}

// String is the outward name.
func (s Status) String() string {
	if s < Statuses {
		return statusTable[s].name
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText makes JSON carry the name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Status) UnmarshalText(text []byte) (err error) {
	*s, err = ParseStatus(string(text))
	return err
}
