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

// Every step of a message has its event, as far back as the log reaches. A message does not know where its events are, so
// that is compared by sums: the steps and the events are each added up, in buckets by message, by a hash that no missing
// and no doubled event leaves as it was. Where two sums differ the bucket's messages are compared one by one.

const eventBuckets = 1 << 12

type eventSums struct {
	seed   maphash.Seed
	since  esh3ar.Time // events from before may have been trimmed
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

// expect adds the steps of a message.
func (e *eventSums) expect(id esh3ar.MessageID, done *lifecycle.Steps) {
	b := e.bucket(id)
	for i, st := range done.List {
		if st.At >= e.since {
			e.steps[b] += e.hash(id, i+1)
		}
	}
}

// event checks one row of the log against its message, which may be purged.
func (w *verification) event(src verifySource, key, row []byte) []flaw {
	event, err := decodeEvent(row)
	if err != nil || len(key) != 9 {
		return unreadable("event_damaged", key, codec.ErrDamaged)
	}
	f := finding("event_wrong", key, "version %d, %s of life %d, is not what happened to the message", event.version, event.Status, event.Life)
	f.Message, f.Recipient, f.Seq = event.id, event.recipient, event.seq
	where, ok, err := readPlace(src, event.id)
	if err != nil || !ok {
		return nil
	}
	done, err := readSteps(src, where, event.id)
	if err != nil {
		return nil
	}
	if v := int(event.version); v < 1 || v > len(done.List) || done.List[v-1].Status != event.Status || done.List[v-1].Life != event.Life {
		return []flaw{{Finding: f, aside: [][]byte{slices.Clone(key)}}}
	}
	if src == verifySource(w.view.snapshot) && event.At >= w.events.since {
		w.events.events[w.events.bucket(event.id)] += w.events.hash(event.id, int(event.version))
	}
	return nil
}

// missingEvents compares the sums.
func (w *verification) missingEvents() error {
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
	check := func(src verifySource, key, row []byte) []flaw { return w.unlogged(src, key, row, differ, seen) }
	for _, kind := range []byte{bodyKey, parkedKey} {
		if err := w.rows([]byte{kind}, []byte{kind + 1}, nil, check); err != nil {
			return err
		}
	}
	return nil
}

// countEvents counts the events of the messages in some buckets: a part of all, however large the store is.
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

// unlogged finds the steps of a message that have no event, or several. A missing one is logged anew, at the end.
func (w *verification) unlogged(src verifySource, key, row []byte, buckets map[int]bool, seen map[esh3ar.MessageID]map[uint32]int) (faults []flaw) {
	m, broken := bodyOf(key, row)
	if broken != nil || !buckets[w.events.bucket(m.ID)] {
		return nil
	}
	done, err := readSteps(src, placeOf(m), m.ID)
	if err != nil {
		return nil
	}
	for i, st := range done.List {
		switch n := seen[m.ID][uint32(i+1)]; {
		case st.At < w.events.since || n == 1:
		case n > 1:
			faults = append(faults, flaw{Finding: of(finding("event_twice", key, "version %d is in the log %d times; consumers know it by its id", i+1, n), m)})
		default:
			event := eventRow{id: m.ID, business: m.Business, recipient: m.Recipient, seq: m.Seq, version: uint32(i + 1), Step: st}
			faults = append(faults, flaw{Finding: of(finding("event_missing", key, "version %d, %s, was never told to the business", i+1, st.Status), m), log: &event})
		}
	}
	return faults
}
