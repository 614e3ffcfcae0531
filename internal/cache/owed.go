package cache

import (
	"context"
	"sync"
	"time"
)

// ledger keeps the invalidations that the second level and the other nodes do not all know of yet: those under way, and
// those that failed. While there is one, this node does not believe the second level about that cache.
type ledger struct {
	sync.Mutex
	of map[string]*debt // by cache
}

type debt struct {
	open   int    // invalidations under way or failed
	failed int    // of them
	notice notice // what the failed ones said, together: bounded by maxNames
}

// owe notes that an invalidation begins.
func (l *ledger) owe(cache string) {
	l.Lock()
	defer l.Unlock()
	if l.of == nil {
		l.of = map[string]*debt{}
	}
	if l.of[cache] == nil {
		l.of[cache] = &debt{}
	}
	l.of[cache].open++
}

// paid notes that some are known everywhere.
func (l *ledger) paid(cache string, count int) {
	l.Lock()
	defer l.Unlock()
	if d := l.of[cache]; d.open > count {
		d.open -= count
		return
	}
	delete(l.of, cache)
}

// failed keeps what is to be tried again.
func (l *ledger) failed(cache string, n notice, count int) {
	l.Lock()
	defer l.Unlock()
	d := l.of[cache]
	d.failed += count
	d.notice.join(n)
}

// due takes out what failed; it stays open until it is paid.
func (l *ledger) due() map[string]debt {
	l.Lock()
	defer l.Unlock()
	due := map[string]debt{}
	for cache, d := range l.of {
		if d.failed > 0 {
			due[cache] = *d
			d.failed, d.notice = 0, notice{}
		}
	}
	return due
}

func (l *ledger) owes(cache string) bool {
	l.Lock()
	defer l.Unlock()
	return l.of[cache] != nil
}

func (l *ledger) size() (n int) {
	l.Lock()
	defer l.Unlock()
	for _, d := range l.of {
		n += d.open
	}
	return n
}

func (s *Shared) owes(cache string) bool { return s.debts.owes(cache) }

// spread makes names invalid on this node and then everywhere. It is owed from before the first: nobody here may fetch
// from the second level what was just dropped.
func (s *Shared) spread(ctx context.Context, n notice, here holder) {
	s.debts.owe(n.Cache)
	here.apply(n)
	s.pay(ctx, n, 1)
}

// repay tries again what failed.
func (s *Shared) repay(ctx context.Context) {
	for cache, d := range s.debts.due() {
		d.notice.Cache = cache
		s.pay(ctx, d.notice, d.failed)
	}
}

// pay tells the second level, and then the nodes: who hears of it must not find the old value there.
func (s *Shared) pay(ctx context.Context, n notice, count int) {
	err := s.renew(ctx, n)
	if err == nil {
		err = s.publish(ctx, n)
	}
	if err != nil {
		s.debts.failed(n.Cache, n, count)
		return
	}
	s.debts.paid(n.Cache, count)
}

// renew gives a new generation to everything that a notice names: the clock's before all others.
func (s *Shared) renew(ctx context.Context, n notice) error {
	m, _ := s.member(n.Cache)
	if m.generations == 0 {
		return nil
	}
	if err := s.setGenerations(ctx, []string{clockOf(n.Cache)}, m.generations); err != nil {
		return err
	}
	var keys, values []string
	for _, name := range n.Keys {
		keys, values = append(keys, keyOf(n.Cache, name)), append(values, valueKey(n.Cache, name))
	}
	for _, tag := range n.Tags {
		keys = append(keys, tagOf(n.Cache, tag))
	}
	if len(n.Globs) > 0 {
		keys = append(keys, wholeOf(n.Cache))
	}
	err := s.setGenerations(ctx, keys, m.generations)
	if err == nil && len(values) > 0 {
		_ = s.call(ctx, "delete from the shared cache", func(ctx context.Context) error { return s.level.Delete(ctx, values) }) // they are void; this only frees their memory
	}
	return err
}

func (s *Shared) setGenerations(ctx context.Context, keys []string, ttl time.Duration) error {
	values, ttls := make([][]byte, len(keys)), make([]time.Duration, len(keys))
	for i := range keys {
		values[i], ttls[i] = newGeneration(), ttl
	}
	return s.set(ctx, keys, values, ttls)
}
