package embedded

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// counterLimit bounds the counters cached in memory. When it is exceeded, all are dropped and read again on demand.
const counterLimit = 1 << 17

// committer is the only writer. Its fields belong to the goroutine of run.
type committer struct {
	store       *Store
	position    uint64 // position of the newest event in the log
	counters    map[esh3ar.Recipient]esh3ar.Seq
	keyDayCache []uint32 // days that have idempotency keys; nil if not read yet
	cache       messageCache
	order       rowOrder
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

// commit makes the requests of the group durable in one batch and completes them.
func (c *committer) commit(group []*request) {
	start := c.store.opts.Now()
	began := time.Now()
	st := newStagedBatch(c, esh3ar.TimeOf(start))
	for _, r := range group {
		r.err = r.stage(st)
	}
	err := st.finish()
	if err == nil {
		st.batch, err = c.order.arrange(c.store.db, st.batch)
	}
	if faultinject.Is(faultinject.PublishBeforeCommit) {
		complete(group)
	}
	staged := time.Now()
	if err == nil && !st.batch.Empty() {
		err = c.write(st.batch)
	}
	if err != nil {
		c.store.stats.refused.Add(1)
		c.failGroup(group, err)
		return
	}
	info := CommitInfo{Messages: st.messages, Changes: st.changes, Stage: staged.Sub(began), Sync: time.Since(staged)}
	if !st.batch.Empty() {
		info.Bytes = st.batch.Len()
	}
	c.position = st.position
	c.updateCaches(st)
	if !st.batch.Empty() {
		c.store.publish()
	}
	_ = st.batch.Close() // only returns the batch to its pool
	c.store.stats.count(info)
	complete(group)
	c.store.opts.OnCommit(info)
}

// write returns when the batch is on durable storage. After a fault it writes nothing: the durable state is unknown, and a
// later batch must not build on it. A panic of Pebble counts as a fault, because Pebble may hold its commit lock forever. An
// operator with a broken disk gets an error, not a stack trace.
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

// complete completes all requests of a group.
func complete(group []*request) {
	for _, r := range group {
		if !r.completed {
			r.completed = true
			close(r.done)
		}
	}
}

// failGroup completes a group whose batch could not be built or written.
func (c *committer) failGroup(group []*request, err error) {
	clear(c.counters) // these may be ahead of the disk
	c.cache.reset()
	c.keyDayCache = nil
	for _, r := range group {
		if r.err == nil {
			r.err = readError("commit", err)
		}
	}
	complete(group)
}

// updateCaches updates the caches after a commit, for the next batch.
func (c *committer) updateCaches(st *stagedBatch) {
	if len(c.counters)+len(st.counters) > counterLimit {
		clear(c.counters)
	}
	for r, seq := range st.counters {
		c.counters[r] = seq
	}
	for _, s := range st.updateOrder {
		s.stored = s.state()
		s.attemptCounted = false
		s.discarded = false
		s.movedBody = nil
		if s.purged || s.Stage().Status.Ends() {
			c.cache.remove(s.id)
		}
	}
	c.store.leases.release(st.endedTasks)
}
