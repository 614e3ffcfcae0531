package embedded

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// Pending implements esh3ar.InboxReader.
func (s *Store) Pending(_ context.Context, q esh3ar.InboxQuery) (esh3ar.InboxPage, error) {
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.InboxPage{}, err
	}
	defer v.release()
	page, err := s.pending(v, q)
	if err != nil {
		return page, readError("read inbox", err)
	}
	return page, nil
}

func (s *Store) pending(v *view, q esh3ar.InboxQuery) (page esh3ar.InboxPage, err error) {
	if page.Counter, err = readCounter(v.snapshot, q.Recipient); err != nil || page.Counter == 0 {
		page.Ended = err == nil && q.Skip == [esh3ar.Priorities]bool{}
		return page, err
	}
	page.Ended = true
	read := laneReader{view: v, query: q, page: &page, lowWater: &s.lowWater}
	defer func() { err = errors.Join(err, read.close()) }()
	for p := esh3ar.Priorities - 1; p >= 0 && !read.full; p-- {
		lane := esh3ar.Priority(p)
		if q.Skip[lane] {
			page.Ended = false
			continue
		}
		if err := read.readLane(lane); err != nil {
			return page, err
		}
	}
	return page, nil
}

// laneReader reads the lanes of one inbox into a page, within the limits of its query.
type laneReader struct {
	view     *view
	it       *pebble.Iterator // opened by the first lane that may contain messages: most reads find the inbox caught up
	query    esh3ar.InboxQuery
	page     *esh3ar.InboxPage
	lowWater *lowWaterMarks
	bytes    int  // size of the records in page
	full     bool // page is full; a message of a lower lane would overtake, so lower lanes are not read
}

func (l *laneReader) open() error {
	var err error
	if l.it == nil {
		lower := appendUint64([]byte{undeliveredKey}, uint64(l.query.Recipient))
		l.it, err = l.view.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: successor(lower)})
	}
	return err
}

func (l *laneReader) close() error {
	if l.it == nil {
		return nil
	}
	return l.it.Close()
}

// readLane appends the messages of one lane after the query's position.
func (l *laneReader) readLane(p esh3ar.Priority) error {
	mark := l.lowWater.at(l.query.Recipient, p)
	after := max(l.query.After[p], mark)
	if after >= l.page.Counter {
		return nil // the snapshot contains no higher seq
	}
	if err := l.open(); err != nil {
		return err
	}
	first := true
	for valid := l.it.SeekGE(appendUndelivered(nil, l.query.Recipient, p, after+1)); valid; valid = l.it.Next() {
		_, lane, seq, ok := parseUndelivered(l.it.Key())
		if !ok {
			return fmt.Errorf("inbox of %s: %w", l.query.Recipient, codec.ErrDamaged)
		}
		if lane != p {
			break
		}
		if first && after == mark {
			l.lowWater.raise(l.query.Recipient, p, seq-1)
		}
		first = false
		full, err := l.appendMessage(seq)
		if err != nil {
			return err
		}
		if full {
			l.page.Ended, l.full = false, true
			return nil
		}
	}
	// A failed iterator looks like the end of the lane.
	if err := l.it.Error(); err != nil {
		return err
	}
	if first && after == mark {
		l.lowWater.raise(l.query.Recipient, p, l.page.Counter)
	}
	return nil
}

// appendMessage appends one message, or reports that the page is full.
func (l *laneReader) appendMessage(seq esh3ar.Seq) (full bool, err error) {
	if len(l.page.Records) >= l.query.Limit {
		return true, nil
	}
	record, ok, err := readRecord(l.view.snapshot, l.query.Recipient, seq, esh3ar.MessageID{})
	if err != nil {
		return false, err
	}
	if !ok {
		return false, fmt.Errorf("inbox of %s: message %d has no body; run `esh3ar verify`", l.query.Recipient, seq)
	}
	size := record.Size()
	if len(l.page.Records) > 0 && l.bytes+size > l.query.Bytes {
		return true, nil
	}
	l.bytes += size
	l.page.Records = append(l.page.Records, record)
	return false, nil
}

// lowWaterLimit bounds the inboxes whose low-water marks are cached. When it is exceeded, all are dropped.
const lowWaterLimit = 1 << 16

// lowWaterMarks caches a low-water mark per inbox and lane: no message with that seq or a lower one is undelivered. New messages
// get higher numbers, so a mark stays valid, and reads need not walk the tombstones below it.
type lowWaterMarks struct {
	mu struct {
		sync.Mutex
		marks map[esh3ar.Recipient]*[esh3ar.Priorities]esh3ar.Seq
	}
}

// at returns the low-water mark of a lane; zero if it is unknown.
func (f *lowWaterMarks) at(r esh3ar.Recipient, p esh3ar.Priority) esh3ar.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	if lanes, ok := f.mu.marks[r]; ok {
		return lanes[p]
	}
	return 0
}

func (f *lowWaterMarks) raise(r esh3ar.Recipient, p esh3ar.Priority, to esh3ar.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lanes, ok := f.mu.marks[r]
	if !ok {
		if f.mu.marks == nil || len(f.mu.marks) >= lowWaterLimit {
			f.mu.marks = map[esh3ar.Recipient]*[esh3ar.Priorities]esh3ar.Seq{}
		}
		lanes = new([esh3ar.Priorities]esh3ar.Seq)
		f.mu.marks[r] = lanes
	}
	lanes[p] = max(lanes[p], to)
}

// Since implements esh3ar.InboxReader.
func (s *Store) Since(_ context.Context, r esh3ar.Recipient, after, until esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	records, err := since(v, r, after, until, limit)
	if err != nil {
		return nil, readError("sync", err)
	}
	return records, nil
}

func since(v *view, r esh3ar.Recipient, after, until esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	if after+1 == 0 {
		return nil, nil
	}
	upper := successor(appendUint64([]byte{bodyKey}, uint64(r)))
	if until != 0 && until+1 != 0 {
		upper = appendRecipientSeq(nil, bodyKey, r, until+1)
	}
	if until != 0 && until <= after {
		return nil, nil
	}
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: appendRecipientSeq(nil, bodyKey, r, after+1), UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var records []esh3ar.Record
	for valid := it.First(); valid && len(records) < limit; valid = it.Next() {
		var record esh3ar.Record
		seq := esh3ar.Seq(binary.BigEndian.Uint64(it.Key()[9:]))
		if record.Message, err = decodeBody(it.Value(), r, seq); err != nil {
			return nil, fmt.Errorf("body of %s/%d: %w", r, seq, err)
		}
		if err := readProgress(v.snapshot, &record); err != nil {
			return nil, err
		}
		if record.Status != esh3ar.Expired && record.Status != esh3ar.Canceled {
			records = append(records, record)
		}
	}
	return records, it.Error()
}

// Counters implements esh3ar.InboxReader.
func (s *Store) Counters(_ context.Context, rs []esh3ar.Recipient) ([]esh3ar.Seq, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	counters := make([]esh3ar.Seq, len(rs))
	for i, r := range rs {
		seq, err := readCounter(v.snapshot, r)
		if err != nil {
			return nil, readError("read counters", err)
		}
		counters[i] = seq
	}
	return counters, nil
}

// walkLimit bounds the rows visited by one call of Queued, List or Events.
const walkLimit = 10_000

// Queued implements esh3ar.InboxReader.
func (s *Store) Queued(_ context.Context, before esh3ar.Time, next string, limit int) ([]esh3ar.MessageRef, string, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, "", err
	}
	defer v.release()
	lower := []byte{undeliveredKey}
	if next != "" {
		if lower, err = hex.DecodeString(next); err != nil || len(lower) != undeliveredKeyLen || lower[0] != undeliveredKey {
			return nil, "", esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by this walk", next)
		}
	}
	refs, following, err := queued(v, before, lower, limit)
	if err != nil {
		return nil, "", readError("walk inboxes", err)
	}
	return refs, hex.EncodeToString(following), nil
}

func queued(v *view, before esh3ar.Time, lower []byte, limit int) (refs []esh3ar.MessageRef, following []byte, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{undeliveredKey + 1}})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid; valid = it.Next() {
		walked++
		if len(refs) >= limit || walked > walkLimit {
			return refs, append([]byte(nil), it.Key()...), nil
		}
		r, _, seq, ok := parseUndelivered(it.Key())
		if !ok {
			return nil, nil, codec.ErrDamaged
		}
		ref, ok, err := queuedRef(v, r, seq, before)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			refs = append(refs, ref)
		}
	}
	return refs, nil, it.Error()
}

// queuedRef returns a reference to the message with seq, and whether it is queued and was created before the given time. A
// message past its first status has a row of steps. For most messages that row is absent, and a bloom filter answers the
// read.
func queuedRef(v *view, r esh3ar.Recipient, seq esh3ar.Seq, before esh3ar.Time) (ref esh3ar.MessageRef, ok bool, err error) {
	row, err := getRow(v.snapshot, appendRecipientSeq(nil, stepsKey, r, seq))
	if err != nil {
		return ref, false, err
	}
	s := lifecycle.First(ref.ID, false)
	if row != nil { // a message that was scheduled or replayed is queued and has steps
		if s, err = decodeSteps(row, ref.ID, false); err != nil || s.Stage().Status != esh3ar.Queued {
			return ref, false, err
		}
	}
	m, ok, err := readBody(v.snapshot, r, seq, ref.ID)
	if err != nil || !ok || m.CreatedAt() >= before {
		return ref, false, err
	}
	return esh3ar.MessageRef{ID: m.ID, Recipient: r, Seq: seq, Life: s.Stage().Life}, true, nil
}
