// Package hostile holds black-box tests under attack: a cluster of two nodes and a gateway as processes of their own, with
// PostgreSQL and Redis, hostile clients of package attack, and at the same time a well-behaved business with its phones. The nodes and
// the gateway may open fewer files than usual, so that few connections are enough to use all of them.
//
// TestHostile in its short form runs several attacks at once, for a few seconds each. With -long it runs one attack after the other
// against each target and compares the latency of the well-behaved clients with their undisturbed latency.
package hostile
