package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/esh3artech/esh3ar"
)

// Sums holds the number of rows and the sum of their hashes for each kind. Sums do not depend on the order of the rows, in which the
// engines differ. They change with every missing, added, duplicate or different row.
type Sums struct {
	of map[string]sum
}

type sum struct {
	count int
	hash  [4]uint64 // sum of the SHA-256 hashes, added word by word modulo 2^64
}

// NewSums returns the sums of no rows.
func NewSums() *Sums { return &Sums{of: map[string]sum{}} }

// Add adds a row.
func (s *Sums) Add(row any) error {
	kind := kindOf(row)
	if kind == "" {
		return fmt.Errorf("a row of an unknown kind: %T", row)
	}
	text, err := json.Marshal(canonical(row))
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	one, hash := s.of[kind], sha256.Sum256(text)
	one.count++
	for i := range one.hash {
		one.hash[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
	s.of[kind] = one
	return nil
}

// Count returns the number of rows of a kind.
func (s *Sums) Count(kind string) int { return s.of[kind].count }

// canonical returns a row in the form that is equal for both engines: with the name of its type, and without fields that one of them
// does not store.
func canonical(row any) any {
	switch r := row.(type) {
	case Event:
		r.Annotated = false // an engine has it only while the message exists
		return [2]any{fmt.Sprintf("%T", row), r.Entry}
	case Message:
		if len(r.Metadata) == 0 {
			r.Metadata = nil
		}
		return [2]any{fmt.Sprintf("%T", row), r}
	case Key:
		r.Receipts = append([]esh3ar.Receipt{}, r.Receipts...)
		return [2]any{fmt.Sprintf("%T", row), r}
	case esh3ar.Task:
		r.Lease = 0
		return [2]any{fmt.Sprintf("%T", row), r}
	default:
		return [2]any{fmt.Sprintf("%T", row), row}
	}
}
