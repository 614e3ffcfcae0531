package cache_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("no connection")

// memory is a second level in this process. Each node has its own level on it.
type memory struct {
	sync.Mutex
	values map[string]storedValue
	levels []*level
}

type storedValue struct {
	value []byte
	ends  time.Time
}

func newMemory() *memory { return &memory{values: map[string]storedValue{}} }

func (r *memory) node() *level {
	l := &level{memory: r, disconnect: make(chan struct{}, 1)}
	r.Lock()
	defer r.Unlock()
	r.levels = append(r.levels, l)
	return l
}

func (r *memory) keys() (keys []string) {
	r.Lock()
	defer r.Unlock()
	for key := range r.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// level is one node's connection to a memory.
type level struct {
	memory     *memory
	disconnect chan struct{} // closing it breaks the subscription
	mu         struct {
		sync.Mutex
		away   bool                   // calls fail
		silent bool                   // calls wait for their contexts, and texts are lost without an error
		copies map[string]storedValue // values that GetMany returns instead of the current ones
		calls  int
		texts  chan string // texts of the subscription
	}
}

func (l *level) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *level) calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.calls
}

func (l *level) call(ctx context.Context) error {
	step(ctx)
	l.mu.Lock()
	l.mu.calls++
	away, silent := l.mu.away, l.mu.silent
	l.mu.Unlock()
	if away {
		return errAway
	}
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	return ctx.Err()
}

func (l *level) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := l.call(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	copies := l.mu.copies
	l.mu.Unlock()
	l.memory.Lock()
	defer l.memory.Unlock()
	values := l.memory.getLocked(keys)
	for i, key := range keys {
		if once, ok := copies[key]; ok {
			values[i] = once.value
		}
	}
	return values, nil
}

// keepCopies makes GetMany return the current values from now on, for keys that contain part. Keys that are missing now stay
// missing.
func (l *level) keepCopies(part string, keys []string) {
	copies := map[string]storedValue{}
	l.memory.Lock()
	for _, key := range keys {
		if strings.Contains(key, part) {
			copies[key] = l.memory.values[key]
		}
	}
	l.memory.Unlock()
	l.set(func() { l.mu.copies = copies })
}

func (l *level) Current(ctx context.Context, keys []string) ([][]byte, error) {
	if err := l.call(ctx); err != nil {
		return nil, err
	}
	l.memory.Lock()
	defer l.memory.Unlock()
	return l.memory.getLocked(keys), nil
}

func (r *memory) getLocked(keys []string) [][]byte {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		if h, ok := r.values[key]; ok && time.Now().Before(h.ends) {
			values[i] = append([]byte{}, h.value...)
		}
	}
	return values
}

func (l *level) SetMany(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.memory.Lock()
	defer l.memory.Unlock()
	for i, key := range keys {
		l.memory.values[key] = storedValue{append([]byte{}, values[i]...), time.Now().Add(ttls[i])}
	}
	return nil
}

func (l *level) Delete(ctx context.Context, keys []string) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.memory.Lock()
	defer l.memory.Unlock()
	for _, key := range keys {
		delete(l.memory.values, key)
	}
	return nil
}

func (l *level) Publish(ctx context.Context, text string) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.memory.Lock()
	defer l.memory.Unlock()
	for _, other := range l.memory.levels {
		other.receive(text)
	}
	return nil
}

func (l *level) receive(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.texts != nil && !l.mu.away && !l.mu.silent {
		l.mu.texts <- text
	}
}

func (l *level) Subscribe(ctx context.Context, on func(string), lost func()) error {
	texts := make(chan string, 4096)
	l.set(func() { l.mu.texts = texts })
	defer l.set(func() { l.mu.texts = nil })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.disconnect:
			lost()
		case text := <-texts:
			on(text)
		}
	}
}
