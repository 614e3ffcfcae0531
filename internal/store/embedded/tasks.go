package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// Claim realises esh3ar.TaskQueue. Leases live in memory: whoever held one before a restart is gone with the process.
func (s *Store) Claim(_ context.Context, lease time.Duration, limit int) ([]esh3ar.Task, error) {
	v, err := s.read()
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

func (s *Store) claim(v *view, now, until time.Time, limit int) (tasks []esh3ar.Task, err error) {
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
			continue // `esh3ar verify` reports it; what is due behind it must not wait
		}
		if t.Lease, ok = s.leases.take(string(it.Key()), now, until); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, it.Error()
}

// leases are who works on which task.
type leases struct {
	mu struct {
		sync.Mutex
		last uint64 // number given
		held map[string]lease
	}
}

type lease struct {
	number uint64
	until  time.Time
}

// leaseLimit bounds the leases; those that ran out are forgotten then, and while none has, no more are given.
const leaseLimit = 1 << 16

// take gives the next number unless somebody holds the task.
func (l *leases) take(task string, now, until time.Time) (number uint64, ok bool) {
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

// holds tells whether number is the task's newest. A lease that ran out holds until somebody else takes the task.
func (l *leases) holds(task string, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.held[task].number == number && number != 0
}

// end forgets tasks that are over.
func (l *leases) end(tasks []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, task := range tasks {
		delete(l.mu.held, task)
	}
}

// addTask stages a task of a message.
func (st *staging) addTask(due esh3ar.Time, kind esh3ar.TaskKind, life esh3ar.Life, m *esh3ar.Message) error {
	st.key, st.row = appendTask(st.key[:0], due, kind, m.ID), appendTaskRow(st.row[:0], life, m.Recipient)
	return st.set(st.key, st.row)
}

// holds tells whether a change may end its task: the task is there, and nobody else has claimed it since.
func (st *staging) holds(t *esh3ar.Task) (bool, error) {
	key := appendTask(nil, t.Due, t.Kind, t.Message)
	if !st.committer.store.leases.holds(string(key), t.Lease) && !faultinject.Is(faultinject.LeaseIgnored) {
		return false, nil
	}
	for _, ended := range st.tasks {
		if ended == string(key) {
			return false, nil
		}
	}
	row, err := st.get(key)
	if err == nil && row == nil {
		st.committer.store.leases.end([]string{string(key)}) // it was claimed from a view of before its end
	}
	return row != nil, err
}

// endTask deletes a task with the commit of its effect. A message that cannot enter its inbox keeps its task.
func (st *staging) endTask(t *esh3ar.Task) error {
	if t == nil {
		return nil
	}
	if s := st.settling[t.Message]; t.Kind == esh3ar.EnterTask && s != nil && s.seq == 0 && s.Stage().Status == esh3ar.Scheduled {
		return nil
	}
	key := appendTask(nil, t.Due, t.Kind, t.Message)
	st.tasks = append(st.tasks, string(key))
	return st.batch.Delete(key, nil)
}
