// Package rounds compares variants on a machine whose speed changes while it measures. Variants are measured in many short
// rounds, in alternating order: A B, B A, A B. A slow drift of the machine then affects all of them alike. The values of one
// round are divided by each other first, and the median of these ratios is the result. It comes with an interval, so that a
// reader sees whether two variants differ at all.
//
// It does not measure: the caller of Each does.
//
// Concurrency: Each calls its function from its own goroutine, one call at a time. Everything else is pure.
package rounds
