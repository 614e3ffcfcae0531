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

// long runs take minutes; go test ./internal/store/embedded -run Power with ESH3AR_LONG=1.
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

// cut is a disk as a power cut left it, and what had been seen before.
type cut struct {
	disk *vfs.MemFS
	seen []sighting
}

// tooEarly is how long an fsync is held before the power goes: callers that were answered before it get the time to say
// so, also where one processor has them all.
const tooEarly = 20 * time.Millisecond

// cutter cuts the power at the worst moment: when the WAL is written and the fsync that makes it durable has not
// begun. Before it copies the disk it looks at the store itself, so what it must find is the freshest there is.
type cutter struct {
	disk  *vfs.MemFS
	store atomic.Pointer[embedded.Store]
	ledger
	every atomic.Int64
	rng   *rand.Rand
	fails atomic.Pointer[error]
	cuts  []cut // the WAL is written by one goroutine at a time
}

// MaybeError implements errorfs.Injector: it is called before each operation of the disk.
func (c *cutter) MaybeError(op errorfs.Op) error {
	s := c.store.Load()
	if s == nil || !strings.HasSuffix(op.Path, ".log") || op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSync {
		return nil
	}
	if c.every.Add(1)%7 != 0 {
		return nil
	}
	time.Sleep(tooEarly)
	if err := readAll(s, &c.ledger); err != nil {
		c.fails.Store(&err)
	}
	seen := c.until()
	c.mu.Lock()
	defer c.mu.Unlock()
	// A third of the disks keep nothing that was not synced, the others some or all of it.
	percent := []int{0, 40, 100}[len(c.cuts)%3]
	c.cuts = append(c.cuts, cut{disk: c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), seen: seen})
	return nil
}

func (c *cutter) String() string { return "power cuts" }

// TestPowerCuts cuts the power at many points of a store under load, with readers, and checks that each disk that is
// left holds all that anybody had been told or shown by then.
func TestPowerCuts(t *testing.T) {
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
	load(t, s, &c.ledger, 40)
	c.store.Store(nil)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := c.fails.Load(); err != nil {
		t.Fatalf("read before an fsync: %v", *err)
	}
	if len(c.cuts) < 5 {
		t.Fatalf("only %d power cuts", len(c.cuts))
	}
	for i, cut := range c.cuts {
		back, err := embedded.Open("data", smallOptions(cut.disk))
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		verify(t, back, cut.seen)
		if err := back.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	t.Logf("%d power cuts, %d sightings", len(c.cuts), len(c.seen))
}

// smallOptions make a store whose memtables and WALs turn over often.
func smallOptions(fs vfs.FS) embedded.Options {
	return embedded.Options{FS: fs, SettleGather: gather, MemTableSize: 256 << 10, CacheSize: 1 << 20}
}

// load runs writers, settlers and readers, each of which puts what it learns into l.
func load(t *testing.T, s *embedded.Store, l *ledger, n int) {
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

// write appends a plain call, a keyed call and its twin, and settles.
func write(t *testing.T, s *embedded.Store, l *ledger, w, i int) error {
	ctx := t.Context()
	a, b := newMessage(w+i), newMessage(w+i+1)
	key := fmt.Sprintf("key %d %d", w, i)
	call := keyed(key, b)
	answers, err := s.Append(ctx, []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{a}}, call, keyed(key, newMessage(w+i+1))})
	if err != nil {
		return err
	}
	if answers[2].Outcome != esh3ar.Replayed {
		return fmt.Errorf("twin: %v", answers[2].Outcome)
	}
	l.add(sighting{id: a.ID, seq: a.Seq, version: 1}, sighting{id: b.ID, seq: b.Seq, version: 1},
		sighting{twin: call, receipts: answers[2].Receipts})
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
	l.add(sighting{id: a.ID, version: results[1].Progress.Version})
	return nil
}
