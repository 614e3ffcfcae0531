package esh3ar

import "fmt"

// Priority selects a lane of an inbox and of the intake. Higher priorities overtake lower ones; within a lane messages stay in order.
type Priority uint8

// The priorities, lowest first. The zero value is Low; the default of a call is Normal.
const (
	Low Priority = iota
	Normal
	High
	Urgent

	// Priorities is the number of priorities, and the length of arrays with one element per lane.
	Priorities = 4
)

var priorityNames = [Priorities]string{"low", "normal", "high", "urgent"}

// ParsePriority parses the outward name.
func ParsePriority(s string) (Priority, error) {
	for p, name := range priorityNames {
		if s == name {
			return Priority(p), nil
		}
	}
	return 0, fmt.Errorf("%q is not a priority: low, normal, high or urgent", s)
}

// String returns the outward name.
func (p Priority) String() string {
	if p < Priorities {
		return priorityNames[p]
	}
	return fmt.Sprintf("priority(%d)", uint8(p))
}

// MarshalText returns the outward name.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses the outward name.
func (p *Priority) UnmarshalText(text []byte) error {
	var err error
	*p, err = ParsePriority(string(text))
	return err
}
