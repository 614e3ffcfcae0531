// Package diskguard is what every pebble database of a node needs to live on a disk that may fail: a guard that turns a refused
// write into a fault before pebble hears of it, the fault that stops the process, a gauge of the free space, and the lines
// that an operator reads when a database cannot be opened. It keeps nothing itself.
//
// Concurrency: everything may be called from any goroutine.
package diskguard
