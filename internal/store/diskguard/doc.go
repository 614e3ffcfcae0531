// Package diskguard protects the Pebble databases of a node against a failing disk. Guard turns a failed write into a Fault before
// Pebble sees it, and the fault stops the process. Gauge watches the free space, Retry waits for file descriptors, Pace slows down
// background writes, and the checks turn damage into one-line errors for an operator. The package stores no data.
//
// Concurrency: all functions and methods are safe for concurrent use.
package diskguard
