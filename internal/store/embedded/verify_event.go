package embedded

import (
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// Every step of a message must have its event in the log, as far back as the log reaches. Steps do not refer to event
// positions, so Verify compares sums. Messages are hashed into buckets. Per bucket, the steps and the events are summed up
// by a hash that any missing or duplicate event changes. If the two sums of a bucket differ, its messages are compared one
// by one.

// eventBuckets is the number of buckets. Few buckets differ if few events are missing, so few messages are compared one by one.
const eventBuckets = 1 << 12

type eventSums struct {
	seed   maphash.Seed
	since  esh3ar.Time // older events may have been trimmed
	steps  [eventBuckets]uint64
	events [eventBuckets]uint64
}

func newEventSums() *eventSums { return &eventSums{seed: maphash.MakeSeed()} }

func (e *eventSums) bucket(id esh3ar.MessageID) int {
	return int(maphash.Bytes(e.seed, id.UUID[:]) % eventBuckets)
}

func (e *eventSums) hash(id esh3ar.MessageID, version int) uint64 {
	return maphash.Bytes(e.seed, binary.BigEndian.AppendUint32(id.UUID[:], uint32(version)))
}

// expect adds the steps of a message to its bucket.
func (e *eventSums) expect(id esh3ar.MessageID, done *lifecycle.Steps) {
	b := e.bucket(id)
	for i, st := range done.List {
		if st.At >= e.since {
			e.steps[b] += e.hash(id, i+1)
		}
	}
}

// event checks a row of the event log against its message, which may have been purged.
func (w *verification) event(src verifySource, key, row []byte) []fault {
	event, err := decodeEvent(row)
	if err != nil || len(key) != 9 {
		return unreadable("event_damaged", key, codec.ErrDamaged)
	}
	f := finding("event_wrong", key, "version %d, %s of life %d, does not match the message's history", event.version, event.Status, event.Life)
	f.Message = event.id
	f.Recipient = event.recipient
	f.Seq = event.seq
	where, ok, err := readLocation(src, event.id)
	if err != nil || !ok {
		return nil
	}
	done, err := readSteps(src, where, event.id)
	if err != nil {
		return nil
	}
	if v := int(event.version); v < 1 || v > len(done.List) || done.List[v-1].Status != event.Status || done.List[v-1].Life != event.Life {
		return []fault{{Finding: f, quarantine: [][]byte{slices.Clone(key)}}}
	}
	if src == verifySource(w.view.snapshot) && event.At >= w.events.since {
		w.events.events[w.events.bucket(event.id)] += w.events.hash(event.id, int(event.version))
	}
	return nil
}

// checkMissingEvents compares the sums and checks the messages of buckets that differ.
func (w *verification) checkMissingEvents() error {
	differ := map[int]bool{}
	for b := range w.events.steps {
		if w.events.steps[b] != w.events.events[b] {
			differ[b] = true
		}
	}
	if len(differ) == 0 {
		return nil
	}
	seen, err := w.countEvents(differ)
	if err != nil {
		return err
	}
	check := func(src verifySource, key, row []byte) []fault { return w.unloggedSteps(src, key, row, differ, seen) }
	for _, kind := range []byte{bodyKey, unnumberedBodyKey} {
		if err := w.checkRange([]byte{kind}, []byte{kind + 1}, nil, check); err != nil {
			return err
		}
	}
	return nil
}

// countEvents counts, per message and version, the events of the messages in the given buckets. Only the messages of those
// buckets are held in memory.
func (w *verification) countEvents(buckets map[int]bool) (map[esh3ar.MessageID]map[uint32]int, error) {
	seen := map[esh3ar.MessageID]map[uint32]int{}
	it, err := w.view.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKey}, UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return nil, readError("verify", err)
	}
	defer it.Close()
	for valid := it.First(); valid; valid = it.Next() {
		event, err := decodeEvent(it.Value())
		if err != nil || !buckets[w.events.bucket(event.id)] {
			continue
		}
		if seen[event.id] == nil {
			seen[event.id] = map[uint32]int{}
		}
		seen[event.id][event.version]++
	}
	return seen, it.Error()
}

// unloggedSteps returns the steps of a message that have no event or several. A repair appends a missing event to the end of the
// log.
func (w *verification) unloggedSteps(src verifySource, key, row []byte, buckets map[int]bool, seen map[esh3ar.MessageID]map[uint32]int) []fault {
	var faults []fault
	m, broken := bodyOf(key, row)
	if broken != nil || !buckets[w.events.bucket(m.ID)] {
		return nil
	}
	done, err := readSteps(src, locationOf(m), m.ID)
	if err != nil {
		return nil
	}
	for i, st := range done.List {
		n := seen[m.ID][uint32(i+1)]
		if st.At < w.events.since || n == 1 {
			continue
		}
		if n > 1 {
			faults = append(faults, fault{Finding: withMessage(finding("event_twice", key, "version %d is in the log %d times; consumers recognise it by its id", i+1, n), m)})
			continue
		}
		event := eventRow{id: m.ID, business: m.Business, recipient: m.Recipient, seq: m.Seq, version: uint32(i + 1), Step: st}
		faults = append(faults, fault{Finding: withMessage(finding("event_missing", key, "version %d, %s, is not in the event log", i+1, st.Status), m), event: &event})
	}
	return faults
}
