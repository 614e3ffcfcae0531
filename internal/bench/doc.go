// Package bench measures nodes against the performance budgets of the platform. Load and server run in separate
// processes. CPU and memory of the server are read from the operating system. Latencies count from the time at which a
// call was due. A ledger checks that no message was lost, duplicated or reordered. Measurements use the loopback
// interface and only processes that the package started.
//
// Concurrency: Run owns all its goroutines and ends them.
package bench
