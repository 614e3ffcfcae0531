package esh3ar

import "fmt"

// Priority orders the lanes of an inbox and of the intake: higher overtakes lower, within one all is in order.
type Priority uint8

// The priorities, lowest first. The zero value is Low; what a caller leaves out is Normal.
const (
	Low Priority = iota
	Normal
	High
	Urgent

	// Priorities is how many there are; arrays with one slot for each lane have this length.
	Priorities = 4
)

var priorityNames = [Priorities]string{"low", "normal", "high", "urgent"}

// ParsePriority reads the outward name.
func ParsePriority(s string) (Priority, error) {
	for p, name := range priorityNames {
		if s == name {
			return Priority(p), nil
		}
	}
	return 0, fmt.Errorf("%q is not a priority: low, normal, high or urgent", s)
}

// String is the outward name.
func (p Priority) String() string {
	if p < Priorities {
		return priorityNames[p]
	}
	return fmt.Sprintf("priority(%d)", uint8(p))
}

// MarshalText makes JSON carry the name.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name.
func (p *Priority) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePriority(string(text))
	return err
}
