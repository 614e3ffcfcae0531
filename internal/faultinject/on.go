//go:build plantedfaults

package faultinject

import "os"

var chosen = Fault(os.Getenv(Variable))

// Is reports whether fault f is planted.
func Is(f Fault) bool { return chosen == f }
