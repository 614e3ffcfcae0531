package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/esh3artech/esh3ar"
)

// Copy writes all rows of a store into another and returns the sums of what it read. Observe is called after each row.
func Copy(ctx context.Context, from Reader, to Writer, now esh3ar.Time, observe func(*Sums)) (*Sums, error) {
	sums := NewSums()
	err := from.Rows(ctx, now, func(row any) error {
		if own(row) {
			return nil
		}
		if err := sums.Add(row); err != nil {
			return err
		}
		observe(sums)
		return to.Put(ctx, row)
	})
	if err != nil {
		return sums, fmt.Errorf("copy: %w", err)
	}
	if err := to.Flush(ctx); err != nil {
		return sums, fmt.Errorf("copy: %w", err)
	}
	return sums, nil
}

// Survey returns the sums of a store.
func Survey(ctx context.Context, from Reader, now esh3ar.Time, observe func(*Sums)) (*Sums, error) {
	sums := NewSums()
	err := from.Rows(ctx, now, func(row any) error {
		if own(row) {
			return nil
		}
		observe(sums)
		return sums.Add(row)
	})
	if err != nil {
		return sums, fmt.Errorf("read back: %w", err)
	}
	return sums, nil
}

// own reports whether a row belongs to one store.
func own(row any) bool {
	s, ok := row.(Setting)
	return ok && strings.HasPrefix(s.Name, Own)
}

// Kinds are the kinds of rows in the order of a copy.
var Kinds = []string{
	"settings", "plans", "businesses", "API keys", "usage days", "revocations", "counters", "messages", "tasks", "idempotency keys", "events", "marks",
}

// kindOf names the kind of a row; empty: none.
func kindOf(row any) string {
	switch row.(type) {
	case Setting:
		return Kinds[0]
	case esh3ar.Plan:
		return Kinds[1]
	case esh3ar.Business:
		return Kinds[2]
	case esh3ar.APIKey:
		return Kinds[3]
	case esh3ar.Usage:
		return Kinds[4]
	case esh3ar.Revocation:
		return Kinds[5]
	case Counter:
		return Kinds[6]
	case Message:
		return Kinds[7]
	case esh3ar.Task:
		return Kinds[8]
	case Key:
		return Kinds[9]
	case Event:
		return Kinds[10]
	case Revoked, Trimmed:
		return Kinds[11]
	default:
		return ""
	}
}

// Differences returns a line for each kind of which two stores do not hold the same rows.
func (s *Sums) Differences(other *Sums) (lines []string) {
	for _, kind := range Kinds {
		a, b := s.of[kind], other.of[kind]
		switch {
		case a.count != b.count:
			lines = append(lines, fmt.Sprintf("%s: %d were read and %d are there", kind, a.count, b.count))
		case a != b:
			lines = append(lines, kind+": their contents differ")
		}
	}
	return slices.Clip(lines)
}
