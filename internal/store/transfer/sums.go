package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/esh3artech/esh3ar"
)

// Sums counts rows and adds up their hashes, by kind. It does not depend on the order of the rows, which engines differ in, and
// changes with every row that is missing, added, doubled or different.
type Sums struct {
	of map[string]sum
}

type sum struct {
	count int
	hash  [4]uint64 // of SHA-256, added word by word
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

// Count returns how many rows of a kind were added.
func (s *Sums) Count(kind string) int { return s.of[kind].count }

// canonical is a row as both engines give it: with a type's name, and without what one of them cannot know.
func canonical(row any) any {
	switch r := row.(type) {
	case Event:
		r.Annotated = false // an engine knows it while the message is there
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
