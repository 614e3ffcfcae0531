package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// failing makes the n-th write operation of a disk fail, and with onwards every one after it too.
type failing struct {
	n       int64
	onwards bool
	count   atomic.Int64
}

var errDisk = errors.New("input/output error")

func (f *failing) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	if k := f.count.Add(1); k == f.n || f.onwards && k > f.n {
		return errDisk
	}
	return nil
}

func (f *failing) String() string { return fmt.Sprint("fails at write ", f.n) }

// TestEveryWriteFails lets the disk fail at each write operation of a scenario in turn. What was answered with success
// must be there afterwards, what was answered with a definite error must not.
func TestEveryWriteFails(t *testing.T) {
	whole := &failing{n: -1}
	disk := vfs.NewCrashableMem()
	told := scenario(t, errorfs.Wrap(disk, whole))
	if told.err != nil {
		t.Fatalf("without any fault: %v", told.err)
	}
	verifyTold(t, disk, told)
	writes := whole.count.Load()
	step := int64(rounds(7, 1, 1))
	t.Logf("%d writes", writes)
	var stopped, survived int
	for n := int64(1); n <= writes; n += step {
		for _, onwards := range []bool{false, true} {
			disk := vfs.NewCrashableMem()
			told := scenario(t, errorfs.Wrap(disk, &failing{n: n, onwards: onwards}))
			if told.err != nil {
				stopped++
			} else {
				survived++
			}
			verifyTold(t, disk, told)
			if t.Failed() {
				t.Fatalf("at write %d of %d, onwards %v: %v", n, writes, onwards, told.err)
			}
		}
	}
	t.Logf("%d writes: %d scenarios stopped, %d went on", writes, stopped, survived)
	if stopped == 0 {
		t.Error("no fault reached the store")
	}
}

// told is what the callers of a scenario were told.
type told struct {
	stored, refused []*esh3ar.Message
	settled         []*esh3ar.Message
	err             error
}

// scenario writes until something fails; it never ends the store that a fault stopped.
func scenario(t *testing.T, fs vfs.FS) (r told) {
	ctx := context.Background()
	s, err := embedded.Open("data", smallOptions(fs))
	if err != nil {
		return told{err: err}
	}
	for i := range 24 {
		m := newMessage(i)
		m.Content = string(make([]byte, 20_000)) // memtables and WALs turn over
		switch _, err := s.Append(ctx, []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); {
		case err == nil:
			r.stored = append(r.stored, m)
		case esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown:
			r.refused = append(r.refused, m)
			r.err = err
		default:
			r.err = err
		}
		if r.err != nil {
			continue // every later call must be refused
		}
		if i%3 == 0 {
			_, err := s.Settle(ctx, []esh3ar.Change{{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Delivered, At: m.CreatedAt()}})
			if err == nil {
				r.settled = append(r.settled, m)
			}
			r.err = err
		}
	}
	if r.err != nil {
		checkFailed(t, s)
	}
	if err := s.Close(); err != nil && r.err == nil {
		r.err = err
	}
	return r
}

// checkFailed holds a stopped store against its promise: it says so, and answers nothing any more.
func checkFailed(t *testing.T, s *embedded.Store) {
	t.Helper()
	select {
	case <-s.Failed():
	default:
		t.Error("a write failed and Failed is not closed")
	}
	if s.Fault() == nil {
		t.Error("no fault told")
	}
	for what, err := range map[string]error{
		"message":        second(s.Message(context.Background(), esh3ar.NewMessageID())),
		"pending":        second(s.Pending(context.Background(), esh3ar.InboxQuery{Recipient: 1, Limit: 1})),
		"settle":         second(s.Settle(context.Background(), []esh3ar.Change{{Recipient: 1, To: esh3ar.Sent}})),
		"an account":     s.CreateBusiness(context.Background(), esh3ar.Business{ID: business}),
		"the events":     second(s.Events(context.Background(), esh3ar.EventQuery{Limit: 1})),
		"an empty batch": second(s.Append(context.Background(), nil)),
	} {
		if err == nil || esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Errorf("%s after the fault: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// verifyTold opens what a strict disk and what a kind disk kept.
func verifyTold(t *testing.T, disk *vfs.MemFS, r told) {
	t.Helper()
	for _, percent := range []int{0, 100} {
		s, err := embedded.Open("data", smallOptions(disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 2))})))
		if err != nil {
			t.Errorf("reopen with %d %% of what was not synced: %v", percent, err)
			return
		}
		var seen []sighting
		for _, m := range r.stored {
			seen = append(seen, sighting{id: m.ID, seq: m.Seq, version: 1})
		}
		for _, m := range r.settled {
			seen = append(seen, sighting{id: m.ID, version: 2})
		}
		verify(t, s, seen)
		for _, m := range r.refused {
			if _, err := s.Message(t.Context(), m.ID); err == nil || esh3ar.CodeOf(err) != esh3ar.NotFound {
				t.Errorf("refused with a definite error, and there: %v", err)
			}
			if m.Seq != 0 {
				t.Errorf("refused, and numbered %d", m.Seq)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}
