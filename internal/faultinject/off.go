//go:build !plantedfaults

package faultinject

// Is reports whether fault f is planted. In this build it always returns false.
func Is(Fault) bool { return false }
