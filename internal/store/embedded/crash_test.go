package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// rounds selects a number of test rounds: short with -short, long with ESH3AR_LONG set, else normal. Long runs take minutes.
func rounds(short, normal, long int) int {
	switch {
	case os.Getenv("ESH3AR_LONG") != "":
		return long
	case testing.Short():
		return short
	default:
		return normal
	}
}

// crashedDisk is a disk after a power failure, and what had been observed before it.
type crashedDisk struct {
	disk *vfs.MemFS
	seen []observation
}

// tooEarly is how long an fsync is delayed before the power fails. It gives callers that were wrongly answered before the
// fsync the time to record that, even on a single CPU.
const tooEarly = 20 * time.Millisecond

// cutter simulates power failures at the worst moment: the WAL is written, and the fsync that makes it durable has not
// started. Before it copies the disk, it reads the store, so the observations include the latest published state.
type cutter struct {
	disk  *vfs.MemFS
	store atomic.Pointer[embedded.Store]
	observationLog
	every atomic.Int64
	rng   *rand.Rand
	fails atomic.Pointer[error]
	cuts  []crashedDisk // appended by one goroutine at a time, the writer of the WAL
}

// MaybeError implements errorfs.Injector. It is called before each operation on the disk.
func (c *cutter) MaybeError(op errorfs.Op) error {
	s := c.store.Load()
	if s == nil || !strings.HasSuffix(op.Path, ".log") || op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSync {
		return nil
	}
	if c.every.Add(1)%7 != 0 {
		return nil
	}
	time.Sleep(tooEarly)
	if err := readAll(s, &c.observationLog); err != nil {
		c.fails.Store(&err)
	}
	seen := c.until()
	c.mu.Lock()
	defer c.mu.Unlock()
	// A third of the disks lose everything that was not synced; the others lose a part or nothing.
	percent := []int{0, 40, 100}[len(c.cuts)%3]
	c.cuts = append(c.cuts, crashedDisk{disk: c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), seen: seen})
	return nil
}

func (c *cutter) String() string { return "power cuts" }

// TestStore_PowerFailure_LosesNothingObserved simulates power failures of a store under load, with concurrent readers. Every
// disk must contain all that a caller was told or a reader saw before its failure.
func TestStore_PowerFailure_LosesNothingObserved(t *testing.T) {
	for seed := range uint64(rounds(1, 3, 60)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { powerCuts(t, seed) })
	}
}

func powerCuts(t *testing.T, seed uint64) {
	c := &cutter{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 7))}
	s, err := embedded.Open("data", smallOptions(errorfs.Wrap(c.disk, c)))
	if err != nil {
		t.Fatal(err)
	}
	c.store.Store(s)
	load(t, s, &c.observationLog, 40)
	c.store.Store(nil)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := c.fails.Load(); err != nil {
		t.Fatalf("read before an fsync: %v", *err)
	}
	if len(c.cuts) < 5 {
		t.Fatalf("got %d power failures, want at least 5", len(c.cuts))
	}
	for i, cut := range c.cuts {
		back, err := embedded.Open("data", smallOptions(cut.disk))
		if err != nil {
			t.Fatalf("power failure %d: reopen: %v", i, err)
		}
		verify(t, back, cut.seen)
		if err := back.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	t.Logf("%d power failures, %d observations", len(c.cuts), len(c.seen))
}

// smallOptions configure a store that rotates its memtables and WALs often.
func smallOptions(fs vfs.FS) embedded.Options {
	return embedded.Options{FS: fs, SettleLinger: gather, MemTableSize: 256 << 10, CacheSize: 1 << 20}
}

// load runs writers, settlers and readers concurrently. Each records its observations in l.
func load(t *testing.T, s *embedded.Store, l *observationLog, n int) {
	const writers = 4
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range n {
				if err := write(t, s, l, w, i); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := readAll(s, l); err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

// write appends a call without a key, a call with a key and its duplicate, and settles.
func write(t *testing.T, s *embedded.Store, l *observationLog, w, i int) error {
	ctx := t.Context()
	a, b := newMessage(w+i), newMessage(w+i+1)
	key := fmt.Sprintf("key %d %d", w, i)
	call := keyed(key, b)
	answers, err := s.Append(ctx, []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{a}}, call, keyed(key, newMessage(w+i+1))})
	if err != nil {
		return err
	}
	if answers[2].Outcome != esh3ar.Replayed {
		return fmt.Errorf("duplicate call: got outcome %v, want Replayed", answers[2].Outcome)
	}
	l.add(observation{id: a.ID, seq: a.Seq, version: 1}, observation{id: b.ID, seq: b.Seq, version: 1},
		observation{duplicate: call, receipts: answers[2].Receipts})
	if i%2 == 1 {
		return nil
	}
	results, err := s.Settle(ctx, []esh3ar.Change{
		{Message: a.ID, Recipient: a.Recipient, To: esh3ar.Sent, Attempt: 1, At: a.CreatedAt()},
		{Message: a.ID, Recipient: a.Recipient, To: esh3ar.Delivered, At: a.CreatedAt()},
	})
	if err != nil {
		return err
	}
	l.add(observation{id: a.ID, version: results[1].Progress.Version})
	return nil
}
