// Package bench measures a node against the platform's budgets. Load and server are two processes; the server's CPU and
// memory are read from the system, latencies count from the moment a call was due, and a ledger of its own checks that
// nothing was lost, repeated or out of order. It measures over loopback only, and only what it started itself unless it
// is given a URL.
//
// Concurrency: Run owns all its goroutines and ends them.
package bench
