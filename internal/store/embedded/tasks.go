package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// Claim implements esh3ar.TaskQueue. Leases are kept in memory, because their holders are goroutines of this process.
func (s *Store) Claim(_ context.Context, lease time.Duration, limit int) ([]esh3ar.Task, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	now := s.opts.Now()
	tasks, err := s.claim(v, now, now.Add(lease), limit)
	if err != nil {
		return nil, readError("claim tasks", err)
	}
	return tasks, nil
}

func (s *Store) claim(v *view, now, until time.Time, limit int) ([]esh3ar.Task, error) {
	var tasks []esh3ar.Task
	it, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: []byte{taskKey}, UpperBound: appendTask(nil, esh3ar.TimeOf(now)+1, 0, esh3ar.MessageID{}),
	})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid && len(tasks) < limit && walked < walkLimit; valid = it.Next() {
		walked++
		t, ok := parseTask(it.Key())
		if !ok || decodeTaskRow(it.Value(), &t) != nil {
			continue // `esh3ar verify` reports it; later tasks must not wait for it
		}
		if t.Lease, ok = s.leases.acquire(string(it.Key()), now, until); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, it.Error()
}

// leases are the claims of tasks by workers.
type leases struct {
	mu struct {
		sync.Mutex
		last uint64 // number of the newest lease
		held map[string]lease
	}
}

type lease struct {
	number uint64
	until  time.Time
}

// leaseLimit bounds the leases. When it is reached, expired leases are removed; if none has expired, Claim returns no more
// tasks.
const leaseLimit = 1 << 16

// acquire leases a task and returns the number of the lease. It returns false if the task is already leased.
func (l *leases) acquire(task string, now, until time.Time) (number uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held, ok := l.mu.held[task]; ok && now.Before(held.until) {
		return 0, false
	}
	if l.mu.held == nil {
		l.mu.held = map[string]lease{}
	}
	if len(l.mu.held) >= leaseLimit {
		for other, held := range l.mu.held {
			if !now.Before(held.until) {
				delete(l.mu.held, other)
			}
		}
		if len(l.mu.held) >= leaseLimit {
			return 0, false
		}
	}
	l.mu.last++
	l.mu.held[task] = lease{l.mu.last, until}
	return l.mu.last, true
}

// holds reports whether number is the newest lease of the task. An expired lease still holds until another worker takes the
// task.
func (l *leases) holds(task string, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.held[task].number == number && number != 0
}

// release removes the leases of completed tasks.
func (l *leases) release(tasks []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, task := range tasks {
		delete(l.mu.held, task)
	}
}

// addTask stages a new task of a message.
func (st *stagedBatch) addTask(due esh3ar.Time, kind esh3ar.TaskKind, life esh3ar.Life, m *esh3ar.Message) error {
	st.key, st.row = appendTask(st.key[:0], due, kind, m.ID), appendTaskRow(st.row[:0], life, m.Recipient)
	return st.set(st.key, st.row)
}

// holdsLease reports whether a change may complete its task: the task exists, and its lease is the newest one.
func (st *stagedBatch) holdsLease(t *esh3ar.Task) (bool, error) {
	key := appendTask(nil, t.Due, t.Kind, t.Message)
	if !st.committer.store.leases.holds(string(key), t.Lease) && !faultinject.Is(faultinject.LeaseIgnored) {
		return false, nil
	}
	for _, ended := range st.endedTasks {
		if ended == string(key) {
			return false, nil
		}
	}
	row, err := st.get(key)
	if err == nil && row == nil {
		st.committer.store.leases.release([]string{string(key)}) // the task was claimed from an older view, after its completion
	}
	return row != nil, err
}

// endTask stages the deletion of a task in the commit of its effect. A scheduled message that could not enter its inbox
// keeps its task.
func (st *stagedBatch) endTask(t *esh3ar.Task) error {
	if t == nil {
		return nil
	}
	if s := st.updates[t.Message]; t.Kind == esh3ar.EnqueueTask && s != nil && s.seq == 0 && s.Stage().Status == esh3ar.Scheduled {
		return nil
	}
	key := appendTask(nil, t.Due, t.Kind, t.Message)
	st.endedTasks = append(st.endedTasks, string(key))
	return st.batch.Delete(key, nil)
}
