// Package flow holds pure control algorithms: backoff, quotas, retry budgets, the load of a node, and a moving average of latencies. It
// has no clock and no randomness of its own. Both are arguments, so that every decision can be repeated.
//
// Concurrency: values with state are not safe for concurrent use.
package flow
