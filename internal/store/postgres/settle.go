package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

var settleMessages = statement{"settle", callSQL("*", "settle_messages", settleArguments(nil, &settleAttempt{}, 0))}

// Settle implements esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	if err := lifecycle.Check(changes); err != nil {
		return nil, err
	}
	var r *settleAttempt
	err := withRetry(ctx, func(try int) (err error) {
		if r, err = s.newSettleAttempt(ctx, changes, try > 0); err != nil {
			return &notSent{err}
		}
		r.decide(changes)
		return s.commit(ctx, r)
	})
	if err != nil {
		return nil, writeError("settle", err)
	}
	return r.results, nil
}

// commit writes the changes of an attempt, if there are any.
func (s *Store) commit(ctx context.Context, r *settleAttempt) error {
	args, entering := r.arguments(s.now())
	if args == nil {
		return nil
	}
	fields, err := s.callFunction(ctx, settleMessages, args)
	if err != nil {
		r.dropFromCache(s.cache)
		return err
	}
	var seqs []int64
	if len(fields) != 1 {
		return fmt.Errorf("settle_messages returned %d fields, want 1", len(fields))
	}
	if err := pgtype.NewMap().Scan(pgtype.Int8ArrayOID, pgtype.BinaryFormatCode, fields[0], &seqs); err != nil {
		return err
	}
	if len(seqs) != len(entering) {
		return fmt.Errorf("settle_messages returned %d seqs for %d messages", len(seqs), len(entering))
	}
	for i, c := range entering {
		c.after.seq = esh3ar.Seq(seqs[i])
	}
	r.complete(s.cache)
	s.opts.OnCommit()
	return nil
}

// taskKey identifies a task.
type taskKey struct {
	id   esh3ar.MessageID
	kind esh3ar.TaskKind
	due  esh3ar.Time
}

func keyOf(t *esh3ar.Task) taskKey { return taskKey{t.Message, t.Kind, t.Due} }

// rowUpdate is a message of an attempt: its row as it was read, and as the changes leave it.
type rowUpdate struct {
	before row
	after  *row
	enters bool // whether it gets a new seq
}

// changed reports whether there is anything to write.
func (c *rowUpdate) changed() bool {
	return len(c.after.List) != len(c.before.List) || c.after.Attempts != c.before.Attempts || c.after.discarded != c.before.discarded
}

// settleAttempt is one attempt at a batch of changes.
type settleAttempt struct {
	rows        map[esh3ar.MessageID]*rowUpdate
	order       []*rowUpdate        // values of rows, in order of first use
	leases      map[taskKey]uint64  // current leases of the existing tasks
	endedTasks  map[taskKey]*uint64 // tasks to delete, with the lease they must have; nil: any
	newTasks    map[taskKey]*row    // tasks to insert
	results     []esh3ar.Settled
	awaitingSeq []*rowUpdate // message of each result that gets its seq at the commit; else nil
}

// newSettleAttempt reads the rows that the changes refer to. The first attempt uses the rows cached by this node.
func (s *Store) newSettleAttempt(ctx context.Context, changes []esh3ar.Change, again bool) (*settleAttempt, error) {
	r := &settleAttempt{rows: make(map[esh3ar.MessageID]*rowUpdate, len(changes)), results: make([]esh3ar.Settled, len(changes)), awaitingSeq: make([]*rowUpdate, len(changes))}
	var unknown []esh3ar.MessageID
	var tasks []*esh3ar.Task
	for i := range changes {
		c := &changes[i]
		if c.Task != nil {
			tasks = append(tasks, c.Task)
		}
		if _, ok := r.rows[c.Message]; ok {
			continue
		}
		if known, ok := s.cache.find(c.Message); ok && !again {
			r.add(known)
			continue
		}
		r.rows[c.Message] = nil
		unknown = append(unknown, c.Message)
	}
	if len(unknown) > 0 {
		found, err := s.readRows(ctx, unknown)
		if err != nil {
			return nil, err
		}
		for _, id := range unknown {
			if known, ok := found[id]; ok {
				r.add(known)
			}
		}
	}
	return r, s.readLeases(ctx, r, tasks)
}

func (r *settleAttempt) add(known row) {
	c := &rowUpdate{before: known, after: known.clone()}
	r.rows[known.id] = c
	r.order = append(r.order, c)
}

// decide applies the changes in order.
func (r *settleAttempt) decide(changes []esh3ar.Change) {
	for i := range changes {
		r.decideOne(&changes[i], i)
	}
}

func (r *settleAttempt) decideOne(c *esh3ar.Change, i int) {
	result := &r.results[i]
	result.Message = c.Message
	if c.Task != nil && !r.holdsLease(c.Task) {
		return
	}
	if m := r.rows[c.Message]; m != nil && m.after.ownedBy(c) {
		result.Found = true
		result.Applied = r.apply(m, c)
		result.Recipient = m.after.recipient
		result.Seq = m.after.seq
		result.Progress = m.after.Progress(m.after.sendAt)
		if m.enters {
			r.awaitingSeq[i] = m // the seq is known after the commit
		}
	}
	if c.Task != nil {
		r.endTask(keyOf(c.Task), &c.Task.Lease)
	}
}

// ownedBy reports whether c may change the message. A change must name the owner, by recipient or business, and each that it
// names must match.
func (r *row) ownedBy(c *esh3ar.Change) bool {
	return (c.Recipient != 0 || !c.Business.IsZero()) &&
		(c.Recipient == 0 || c.Recipient == r.recipient) && (c.Business.IsZero() || c.Business == r.business)
}

// apply changes the message if all conditions of c are met, and reports whether it did.
func (r *settleAttempt) apply(m *rowUpdate, c *esh3ar.Change) bool {
	switch {
	case c.Replay:
		return r.replay(m, c)
	case c.To == esh3ar.Queued:
		if !m.after.Allows(c) || m.after.Stage().Status != esh3ar.Scheduled {
			return false
		}
		m.after.Enqueue(c.At)
		m.enters = true
	default:
		if !m.after.Apply(c) {
			return false
		}
	}
	if m.after.Stage().Status.Ends() {
		r.endTasks(m.after)
	}
	return true
}

// replay starts the next life of a dead letter.
func (r *settleAttempt) replay(m *rowUpdate, c *esh3ar.Change) bool {
	if !m.after.Allows(c) || m.after.deadLetterAt() == 0 {
		return false
	}
	m.after.Replay(c.At)
	m.enters = true
	if m.after.ttl > 0 {
		r.endTask(taskKey{m.after.id, esh3ar.ExpireTask, m.after.expiresAt}, nil)
		m.after.expiresAt = c.At.Add(m.after.ttl)
		r.addTask(taskKey{m.after.id, esh3ar.ExpireTask, m.after.expiresAt}, m.after)
	}
	return true
}

// endTasks deletes the remaining tasks of a message that has ended.
func (r *settleAttempt) endTasks(m *row) {
	if m.expiresAt != 0 {
		r.endTask(taskKey{m.id, esh3ar.ExpireTask, m.expiresAt}, nil)
	}
	if m.seq == 0 && m.sendAt != 0 {
		r.endTask(taskKey{m.id, esh3ar.EnqueueTask, m.sendAt}, nil)
	}
}

// endTask records that a task is to be deleted. A required lease takes precedence over none.
func (r *settleAttempt) endTask(key taskKey, lease *uint64) {
	delete(r.newTasks, key)
	if r.endedTasks == nil {
		r.endedTasks = map[taskKey]*uint64{}
	}
	if held, ok := r.endedTasks[key]; !ok || held == nil {
		r.endedTasks[key] = lease
	}
}

func (r *settleAttempt) addTask(key taskKey, m *row) {
	if r.newTasks == nil {
		r.newTasks = map[taskKey]*row{}
	}
	r.newTasks[key] = m
}

// complete completes the results and caches the new rows.
func (r *settleAttempt) complete(memory *rowCache) {
	kept := make([]row, 0, len(r.order))
	for _, c := range r.order {
		if c.changed() {
			c.after.revision++
			kept = append(kept, *c.after)
		}
	}
	memory.put(kept)
	for i, c := range r.awaitingSeq {
		if c != nil {
			r.results[i].Seq = c.after.seq
		}
	}
}

// dropFromCache drops the rows of the attempt from the cache: a stale row may be the reason for the failure.
func (r *settleAttempt) dropFromCache(memory *rowCache) {
	for _, c := range r.order {
		memory.remove(c.before.id)
	}
}
