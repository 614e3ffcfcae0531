package postgres

import (
	"fmt"

	"github.com/esh3artech/esh3ar"
)

// position is a position in the event log: after the first n of the events that share pos.
type position struct {
	pos int64
	n   int
}

// String returns 24 hexadecimal digits, which sort like positions.
func (p position) String() string {
	return fmt.Sprintf("%016x%08x", uint64(p.pos), uint32(p.n))
}

func (p position) before(other position) bool {
	return p.pos < other.pos || p.pos == other.pos && p.n < other.n
}

func parsePosition(text esh3ar.Position) (position, error) {
	var p position
	var err error
	if text == "" {
		return p, nil
	}
	var pos uint64
	var n uint32
	_, err = fmt.Sscanf(string(text), "%16x%8x", &pos, &n)
	// Sscanf also accepts capital letters and spaces, which sort differently.
	p = position{int64(pos), int(n)}
	if err != nil || p.pos < 0 || p.String() != string(text) {
		return position{}, esh3ar.Errorf(esh3ar.Invalid, "position %q is not one of this log", text)
	}
	return p, nil
}
