package spill

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// walk visits the rows of a kind from a position on, in order, until visit returns false. The row is valid only during the call of visit.
func (s *Spill) walk(kind byte, from position, visit func(p position, row []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendPosition(nil, kind, from), UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for valid := it.First(); valid; valid = it.Next() {
		if len(it.Key()) != positionKeyLen {
			return fmt.Errorf("key %x: %w", it.Key(), codec.ErrDamaged)
		}
		if !visit(parsePosition(it.Key()), it.Value()) {
			return nil
		}
	}
	return it.Error()
}

// get returns a copy of a row, nil if there is none.
func (s *Spill) get(key []byte) ([]byte, error) {
	row, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, row...), nil // not nil, even if the row is empty
}
