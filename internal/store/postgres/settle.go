package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

var settleMessages = statement{"settle", `SELECT settle_messages($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31,$32)`}

// Settle realises esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	if err := lifecycle.Check(changes); err != nil {
		return nil, err
	}
	var r *round
	err := persist(ctx, func(try int) (err error) {
		if r, err = s.newRound(ctx, changes, try > 0); err != nil {
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

// commit writes what a round decided, if anything.
func (s *Store) commit(ctx context.Context, r *round) error {
	params, entering := r.params(s.now())
	if params == nil {
		return nil
	}
	fields, err := s.call(ctx, settleMessages, params)
	if err != nil {
		r.forget(s.recent)
		return err
	}
	var seqs []int64
	if len(fields) != 1 {
		return fmt.Errorf("settle_messages gave %d fields", len(fields))
	}
	if err := pgtype.NewMap().Scan(pgtype.Int8ArrayOID, pgtype.BinaryFormatCode, fields[0], &seqs); err != nil {
		return err
	}
	if len(seqs) != len(entering) {
		return fmt.Errorf("settle_messages gave %d seqs to %d messages", len(seqs), len(entering))
	}
	for i, c := range entering {
		c.now.seq = esh3ar.Seq(seqs[i])
	}
	r.finish(s.recent)
	s.opts.OnCommit()
	return nil
}

// taskKey names a task.
type taskKey struct {
	id   esh3ar.MessageID
	kind esh3ar.TaskKind
	due  esh3ar.Time
}

func keyOf(t *esh3ar.Task) taskKey { return taskKey{t.Message, t.Kind, t.Due} }

// changing is a message of a round: as it was read, and as the changes leave it.
type changing struct {
	was    row
	now    *row
	enters bool // it gets another seq
}

// changed tells whether there is anything to write.
func (c *changing) changed() bool {
	return len(c.now.List) != len(c.was.List) || c.now.Attempts != c.was.Attempts || c.now.discarded != c.was.discarded
}

// round is one try at a batch of changes.
type round struct {
	rows    map[esh3ar.MessageID]*changing
	order   []*changing         // as they were first named
	leases  map[taskKey]uint64  // of the tasks that are there
	ended   map[taskKey]*uint64 // tasks that end, with the lease they must have; nil: any
	began   map[taskKey]*row    // tasks that begin
	results []esh3ar.Settled
	from    []*changing // of each result; nil: not found
}

// newRound reads what the changes speak of. The first try takes what this node remembers.
func (s *Store) newRound(ctx context.Context, changes []esh3ar.Change, again bool) (*round, error) {
	r := &round{rows: make(map[esh3ar.MessageID]*changing, len(changes)), results: make([]esh3ar.Settled, len(changes)), from: make([]*changing, len(changes))}
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
		if known, ok := s.recent.find(c.Message); ok && !again {
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

func (r *round) add(known row) {
	c := &changing{was: known, now: known.clone()}
	r.rows[known.id] = c
	r.order = append(r.order, c)
}

// decide applies the changes in order.
func (r *round) decide(changes []esh3ar.Change) {
	for i := range changes {
		r.decideOne(&changes[i], i)
	}
}

func (r *round) decideOne(c *esh3ar.Change, i int) {
	result := &r.results[i]
	result.Message = c.Message
	if c.Task != nil && !r.holds(c.Task) {
		return
	}
	if m := r.rows[c.Message]; m != nil && m.now.ownedBy(c) {
		result.Found = true
		result.Applied = r.apply(m, c)
		result.Recipient, result.Seq, result.Progress = m.now.recipient, m.now.seq, m.now.Progress(m.now.sendAt)
		if m.enters {
			r.from[i] = m // its seq comes with the commit
		}
	}
	if c.Task != nil {
		r.end(keyOf(c.Task), &c.Task.Lease)
	}
}

// ownedBy tells whether the message is the one that c may change: a change names an owner, or it is nobody's.
func (r *row) ownedBy(c *esh3ar.Change) bool {
	return (c.Recipient != 0 || !c.Business.IsZero()) &&
		(c.Recipient == 0 || c.Recipient == r.recipient) && (c.Business.IsZero() || c.Business == r.business)
}

// apply changes the message if every condition of c holds.
func (r *round) apply(m *changing, c *esh3ar.Change) bool {
	switch {
	case c.Replay:
		return r.replay(m, c)
	case c.To == esh3ar.Queued:
		if !m.now.Allows(c) || m.now.Stage().Status != esh3ar.Scheduled {
			return false
		}
		m.now.Enter(c.At)
		m.enters = true
	default:
		if !m.now.Apply(c) {
			return false
		}
	}
	if m.now.Stage().Status.Ends() {
		r.endTasks(m.now)
	}
	return true
}

// replay begins the next life of a dead letter.
func (r *round) replay(m *changing, c *esh3ar.Change) bool {
	if !m.now.Allows(c) || m.now.deadSince() == 0 {
		return false
	}
	m.now.Replay(c.At)
	m.enters = true
	if m.now.ttl > 0 {
		r.end(taskKey{m.now.id, esh3ar.ExpireTask, m.now.expiresAt}, nil)
		m.now.expiresAt = c.At.Add(m.now.ttl)
		r.begin(taskKey{m.now.id, esh3ar.ExpireTask, m.now.expiresAt}, m.now)
	}
	return true
}

// endTasks ends what is left to do of a message that has ended.
func (r *round) endTasks(m *row) {
	if m.expiresAt != 0 {
		r.end(taskKey{m.id, esh3ar.ExpireTask, m.expiresAt}, nil)
	}
	if m.seq == 0 && m.sendAt != 0 {
		r.end(taskKey{m.id, esh3ar.EnqueueTask, m.sendAt}, nil)
	}
}

// end notes that a task ends; the lease that somebody must hold for it outweighs none.
func (r *round) end(key taskKey, lease *uint64) {
	delete(r.began, key)
	if r.ended == nil {
		r.ended = map[taskKey]*uint64{}
	}
	if held, ok := r.ended[key]; !ok || held == nil {
		r.ended[key] = lease
	}
}

func (r *round) begin(key taskKey, m *row) {
	if r.began == nil {
		r.began = map[taskKey]*row{}
	}
	r.began[key] = m
}

// finish completes the results and remembers the rows as they are now.
func (r *round) finish(memory *recent) {
	kept := make([]row, 0, len(r.order))
	for _, c := range r.order {
		if c.changed() {
			c.now.revision++
			kept = append(kept, *c.now)
		}
	}
	memory.keep(kept)
	for i, c := range r.from {
		if c != nil {
			r.results[i].Seq = c.now.seq
		}
	}
}

// forget drops what this node remembers of the round: it may be why it was refused.
func (r *round) forget(memory *recent) {
	for _, c := range r.order {
		memory.forget(c.was.id)
	}
}
