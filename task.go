package esh3ar

import (
	"context"
	"time"
)

// TaskKind is the effect of a task on its message.
type TaskKind uint8

// The kinds of tasks.
const (
	EnqueueTask TaskKind = 1 // puts a scheduled message into its inbox
	ExpireTask  TaskKind = 2 // expires a message
)

// Task is an effect that is due at a time. The commit that makes a task necessary stores it, and the commit of its effect ends it. So each
// task has its effect once, whatever happens to the node that claimed it.
type Task struct {
	Kind      TaskKind
	Due       Time
	Message   MessageID
	Recipient Recipient
	Life      Life   // life of the message that the task is about
	Lease     uint64 // fencing token of the claim; a later claim has a higher one
}

// TaskQueue leases due tasks.
type TaskQueue interface {
	// Claim leases at most limit tasks that are due by the store's clock, earliest first. No other claim returns them before the lease
	// ends. Settle with Change.Task ends a task, even if its change does not apply.
	Claim(ctx context.Context, lease time.Duration, limit int) ([]Task, error)
}
