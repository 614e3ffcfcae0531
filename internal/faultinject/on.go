//go:build plantedfaults

package faultinject

import "os"

var chosen = Fault(os.Getenv(Variable))

// Is tells whether a fault is planted.
func Is(f Fault) bool { return chosen == f }
