package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/esh3artech/esh3ar"
)

// Copy writes all rows of a store to another and returns the sums of the rows that it read. It calls observe after each row.
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

// Survey reads a store and returns the sums of its rows.
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

// own reports whether a row is a setting that belongs to one store and is not copied.
func own(row any) bool {
	s, ok := row.(Setting)
	return ok && strings.HasPrefix(s.Name, Own)
}

// Kinds are the kinds of rows in the order of a copy.
var Kinds = []string{
	"settings", "plans", "businesses", "API keys", "usage days", "revocations", "counters", "messages", "tasks", "idempotency keys", "events", "marks",
}

// kindOf returns the kind of a row, or "" if the type is not a row.
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

// Differences returns one line for each kind whose rows differ between two stores.
func (s *Sums) Differences(other *Sums) (lines []string) {
	for _, kind := range Kinds {
		a, b := s.of[kind], other.of[kind]
		if a.count != b.count {
			lines = append(lines, fmt.Sprintf("%s: %d were read and %d are there", kind, a.count, b.count))
		} else if a != b {
			lines = append(lines, kind+": their contents differ")
		}
	}
	return slices.Clip(lines)
}
