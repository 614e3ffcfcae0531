package usage

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Error marks a mistake of the operator in flags or configuration. Commands print it in one line and end with exit code 2.
type Error struct{ err error }

// Error implements error.
func (e Error) Error() string { return e.err.Error() }

// Unwrap returns the error that was marked.
func (e Error) Unwrap() error { return e.err }

// Wrap marks err as a usage error.
func Wrap(err error) Error { return Error{err} }

// Errorf returns a usage error with a formatted text; %w wraps as in fmt.Errorf.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

// OneLine returns an error with the text of err, whose lines are joined by semicolons.
func OneLine(err error) error { return errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// Program returns the command that started this program, so that advice that contains it can be copied to a shell.
func Program() string {
	if strings.Contains(os.Args[0], "go-build") { // go run builds into a temporary folder
		return "go run ./cmd/esh3ar"
	}
	return os.Args[0]
}
