package esh3ar

import (
	"context"
	"time"
)

// TaskKind is what a task does to its message when it is due.
type TaskKind uint8

// The kinds of tasks.
const (
	EnterTask  TaskKind = 1 // a scheduled message enters its inbox
	ExpireTask TaskKind = 2 // a message's time to live ends
)

// Task is something that becomes due. Tasks are made by the commit that makes them necessary and ended by the commit of
// their effect, so each has its effect once, whatever happens to whoever claimed it.
type Task struct {
	Kind      TaskKind
	Due       Time
	Message   MessageID
	Recipient Recipient
	Life      Life   // of the message that the task speaks of
	Lease     uint64 // the number under which it was claimed; a later claim has a higher one
}

// TaskQueue hands out what is due.
type TaskQueue interface {
	// Claim leases tasks that are due by the store's clock, the earliest first, at most limit of them. Nobody else
	// gets them before the lease ends. Settle with Change.Task ends a task, also when its change does not apply.
	Claim(ctx context.Context, lease time.Duration, limit int) ([]Task, error)
}
