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

// failing makes the n-th write operation of a disk fail, and if onwards is set, every later one too.
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
	k := f.count.Add(1)
	if k == f.n || f.onwards && k > f.n {
		return errDisk
	}
	return nil
}

func (f *failing) String() string { return fmt.Sprint("fails at write ", f.n) }

// TestStore_EveryWriteFails_KeepsAcknowledged makes each write operation of a scenario fail in turn. Afterwards, everything
// acknowledged must be present, and everything rejected with a definite error must be absent.
func TestStore_EveryWriteFails_KeepsAcknowledged(t *testing.T) {
	whole := &failing{n: -1}
	disk := vfs.NewCrashableMem()
	outcome := scenario(t, errorfs.Wrap(disk, whole))
	if outcome.err != nil {
		t.Fatalf("without a fault: %v", outcome.err)
	}
	verifyOutcome(t, disk, outcome)
	writes := whole.count.Load()
	step := int64(rounds(7, 1, 1))
	t.Logf("%d writes", writes)
	var stopped, survived int
	for n := int64(1); n <= writes; n += step {
		for _, onwards := range []bool{false, true} {
			disk := vfs.NewCrashableMem()
			outcome := scenario(t, errorfs.Wrap(disk, &failing{n: n, onwards: onwards}))
			if outcome.err != nil {
				stopped++
			} else {
				survived++
			}
			verifyOutcome(t, disk, outcome)
			if t.Failed() {
				t.Fatalf("fault at write %d of %d, onwards %v: %v", n, writes, onwards, outcome.err)
			}
		}
	}
	t.Logf("%d writes: %d scenarios stopped, %d continued", writes, stopped, survived)
	if stopped == 0 {
		t.Error("no fault reached the store")
	}
}

// outcome holds the results that the callers of a scenario got.
type outcome struct {
	stored, refused []*esh3ar.Message
	settled         []*esh3ar.Message
	err             error
}

// scenario writes until a call fails. Later calls must be rejected, so it continues to the end.
func scenario(t *testing.T, fs vfs.FS) outcome {
	var r outcome
	ctx := context.Background()
	s, err := embedded.Open("data", smallOptions(fs))
	if err != nil {
		return outcome{err: err}
	}
	for i := range 24 {
		m := newMessage(i)
		m.Content = string(make([]byte, 20_000)) // large enough to rotate memtables and WALs
		_, err := s.Append(ctx, []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}})
		if err == nil {
			r.stored = append(r.stored, m)
		} else {
			if esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
				r.refused = append(r.refused, m)
			}
			r.err = err
		}
		if r.err != nil {
			continue // later calls must be rejected
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

// checkFailed checks a store after a fault: it reports the fault and rejects every call.
func checkFailed(t *testing.T, s *embedded.Store) {
	t.Helper()
	select {
	case <-s.Failed():
	default:
		t.Error("Failed is open after a failed write, want closed")
	}
	if s.Fault() == nil {
		t.Error("Fault returned nil after a failed write")
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
			t.Errorf("%s after the fault: got %v, want StoreUnavailable", what, err)
		}
	}
}

// second returns the error of a call, without its other result.
func second[T any](_ T, err error) error { return err }

// verifyOutcome reopens two copies of the disk: one that lost all unsynced data, and one that lost none.
func verifyOutcome(t *testing.T, disk *vfs.MemFS, r outcome) {
	t.Helper()
	for _, percent := range []int{0, 100} {
		s, err := embedded.Open("data", smallOptions(disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 2))})))
		if err != nil {
			t.Errorf("reopen with %d %% of the unsynced data: %v", percent, err)
			return
		}
		var seen []observation
		for _, m := range r.stored {
			seen = append(seen, observation{id: m.ID, seq: m.Seq, version: 1})
		}
		for _, m := range r.settled {
			seen = append(seen, observation{id: m.ID, version: 2})
		}
		verify(t, s, seen)
		for _, m := range r.refused {
			if _, err := s.Message(t.Context(), m.ID); err == nil || esh3ar.CodeOf(err) != esh3ar.NotFound {
				t.Errorf("rejected message: got %v, want NotFound", err)
			}
			if m.Seq != 0 {
				t.Errorf("rejected message: got seq %d, want 0", m.Seq)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}
