package postgres

import (
	"errors"
	"testing"
)

// TestAnUnreachableServerIsOneLine: an operator's mistake is one line.
func TestAnUnreachableServerIsOneLine(t *testing.T) {
	t.Parallel()
	cause := errors.New("failed to connect:\n\ta:1: refused\n\tb:1: refused")
	err := (&Store{opts: Options{Flag: "--database-url"}}).unreachable(cause)
	if want := "--database-url: the server does not answer: failed to connect: a:1: refused b:1: refused"; err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("%q, want %q", err, want)
	}
}
