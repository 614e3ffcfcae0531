package embedded

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// counterLimit bounds the counters kept in memory; when there are more, all are forgotten and read again.
const counterLimit = 1 << 17

// committer is the one writer. Its fields are its own goroutine's.
type committer struct {
	store    *Store
	position uint64 // of the newest event in the log
	counters map[esh3ar.Recipient]esh3ar.Seq
	days     []uint32 // that have idempotency keys; nil: not read yet
	recent   recent
}

// run commits until the queue is closed and empty.
func (c *committer) run() {
	var group []*request
	for {
		group = c.store.queue.take(group[:0])
		if len(group) == 0 {
			return
		}
		c.commit(group)
		clear(group)
	}
}

// commit makes one batch of the group durable and answers everybody.
func (c *committer) commit(group []*request) {
	start := c.store.opts.Now()
	began := time.Now()
	st := newStaging(c, esh3ar.TimeOf(start))
	for _, r := range group {
		r.err = r.stage(st)
	}
	err := st.finish()
	if faultinject.Is(faultinject.PublishBeforeCommit) {
		answer(group)
	}
	staged := time.Now()
	if err == nil && !st.batch.Empty() {
		err = c.write(st.batch)
	}
	if err != nil {
		c.store.stats.refused.Add(1)
		c.refuse(group, err)
		return
	}
	info := CommitInfo{Messages: st.messages, Changes: st.changes, Stage: staged.Sub(began), Sync: time.Since(staged)}
	if !st.batch.Empty() {
		info.Bytes = st.batch.Len()
	}
	c.position = st.position
	c.remember(st)
	if !st.batch.Empty() {
		c.store.publish()
	}
	_ = st.batch.Close() // only gives memory back
	c.store.stats.count(info)
	answer(group)
	c.store.opts.OnCommit(info)
}

// write returns when the batch is on durable storage. After a fault nothing is written: what the disk holds is
// unknown then, and a later batch must not stand on it. A panic of pebble is a fault too: its commit lock may be held
// for good, and an operator's broken disk must not print a stack.
func (c *committer) write(batch *pebble.Batch) (err error) {
	if fault := c.store.fault.Err(); fault != nil {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "commit: %w", fault)
	}
	defer func() {
		if p := recover(); p != nil {
			c.store.fault.Set(fmt.Errorf("%v", p))
			err = esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", c.store.fault.Err())
		}
	}()
	mode := pebble.Sync
	if faultinject.Is(faultinject.AnswerBeforeFsync) || faultinject.Is(faultinject.ReaderPastSync) {
		mode = pebble.NoSync
	}
	if err := batch.Commit(mode); err != nil {
		c.store.fault.Set(err)
		return esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", err)
	}
	if faultinject.Is(faultinject.ReaderPastSync) {
		c.store.publish()
		return c.store.db.LogData(nil, pebble.Sync)
	}
	return nil
}

// answer tells everybody of a group how it went.
func answer(group []*request) {
	for _, r := range group {
		if !r.answered {
			r.answered = true
			close(r.done)
		}
	}
}

// refuse answers a group whose batch could not be built or written.
func (c *committer) refuse(group []*request, err error) {
	clear(c.counters) // all of it may be ahead of the disk
	c.recent.forget()
	c.days = nil
	for _, r := range group {
		if r.err == nil {
			r.err = readError("commit", err)
		}
	}
	answer(group)
}

// remember keeps what this batch knows for the next one.
func (c *committer) remember(st *staging) {
	if len(c.counters)+len(st.counters) > counterLimit {
		clear(c.counters)
	}
	for r, seq := range st.counters {
		c.counters[r] = seq
	}
	for _, s := range st.settled {
		s.stored, s.counted, s.discard, s.moves = s.asStored(), false, false, nil
		if s.gone || s.Stage().Status.Ends() {
			c.recent.remove(s.id)
		}
	}
	c.store.leases.end(st.tasks)
}
