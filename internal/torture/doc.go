// Package torture kills a node again and again while businesses send and phones come, go and acknowledge, and decides
// from a ledger of its own, kept outside the node, whether anything was lost, doubled, reordered or taken back.
//
// It starts the node as a child process on a free loopback port and kills no other process. Concurrency: Run owns all
// its goroutines and ends them; the ledger takes entries from any of them.
package torture
