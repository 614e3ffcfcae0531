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

// Pending realises esh3ar.InboxReader.
func (s *Store) Pending(_ context.Context, q esh3ar.InboxQuery) (esh3ar.InboxPage, error) {
	v, err := s.read()
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
	read := laneRead{view: v, query: q, page: &page, floors: &s.floors}
	defer func() { err = errors.Join(err, read.close()) }()
	for p := esh3ar.Priorities - 1; p >= 0 && !read.full; p-- {
		lane := esh3ar.Priority(p)
		if q.Skip[lane] {
			page.Ended = false
			continue
		}
		if err := read.lane(lane); err != nil {
			return page, err
		}
	}
	return page, nil
}

// laneRead reads the lanes of one inbox into a page, within the limits of the query.
type laneRead struct {
	view   *view
	it     *pebble.Iterator // opened when a lane has something to look for: most reads are of caught-up inboxes
	query  esh3ar.InboxQuery
	page   *esh3ar.InboxPage
	floors *floors
	bytes  int
	full   bool // the page: lower lanes are not read, or a small message of theirs would overtake
}

func (l *laneRead) open() (err error) {
	if l.it == nil {
		lower := appendUint64([]byte{waitingKey}, uint64(l.query.Recipient))
		l.it, err = l.view.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: successor(lower)})
	}
	return err
}

func (l *laneRead) close() error {
	if l.it == nil {
		return nil
	}
	return l.it.Close()
}

// lane appends what waits in one lane behind the query's position.
func (l *laneRead) lane(p esh3ar.Priority) error {
	floor := l.floors.of(l.query.Recipient, p)
	after := max(l.query.After[p], floor)
	if after >= l.page.Counter {
		return nil // no seq of this snapshot lies above
	}
	if err := l.open(); err != nil {
		return err
	}
	first := true
	for valid := l.it.SeekGE(appendWaiting(nil, l.query.Recipient, p, after+1)); valid; valid = l.it.Next() {
		_, lane, seq, ok := parseWaiting(l.it.Key())
		if !ok {
			return fmt.Errorf("inbox of %s: %w", l.query.Recipient, codec.ErrDamaged)
		}
		if lane != p {
			break
		}
		if first && after == floor {
			l.floors.raise(l.query.Recipient, p, seq-1)
		}
		first = false
		full, err := l.take(seq)
		if err != nil {
			return err
		}
		if full {
			l.page.Ended, l.full = false, true
			return nil
		}
	}
	if err := l.it.Error(); err != nil { // an iterator that failed looks like a lane that ended
		return err
	}
	if first && after == floor {
		l.floors.raise(l.query.Recipient, p, l.page.Counter)
	}
	return nil
}

// take appends one message, unless the page is full.
func (l *laneRead) take(seq esh3ar.Seq) (full bool, err error) {
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

// floorLimit bounds the inboxes whose floors are kept; when there are more, all are forgotten.
const floorLimit = 1 << 16

// floors remembers, per inbox and lane, a seq up to which nothing waits any more. New messages get higher numbers,
// so a floor once true stays true, and reads need not walk over the tombstones below it.
type floors struct {
	mu struct {
		sync.Mutex
		of map[esh3ar.Recipient]*[esh3ar.Priorities]esh3ar.Seq
	}
}

func (f *floors) of(r esh3ar.Recipient, p esh3ar.Priority) esh3ar.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	if lanes, ok := f.mu.of[r]; ok {
		return lanes[p]
	}
	return 0
}

func (f *floors) raise(r esh3ar.Recipient, p esh3ar.Priority, to esh3ar.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lanes, ok := f.mu.of[r]
	if !ok {
		if f.mu.of == nil || len(f.mu.of) >= floorLimit {
			f.mu.of = map[esh3ar.Recipient]*[esh3ar.Priorities]esh3ar.Seq{}
		}
		lanes = new([esh3ar.Priorities]esh3ar.Seq)
		f.mu.of[r] = lanes
	}
	lanes[p] = max(lanes[p], to)
}

// Since realises esh3ar.InboxReader.
func (s *Store) Since(_ context.Context, r esh3ar.Recipient, after, until esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	v, err := s.read()
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

// Counters realises esh3ar.InboxReader.
func (s *Store) Counters(_ context.Context, rs []esh3ar.Recipient) ([]esh3ar.Seq, error) {
	v, err := s.read()
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

// walkLimit is how many rows one call of Queued or List looks at.
const walkLimit = 10_000

// Queued realises esh3ar.InboxReader.
func (s *Store) Queued(_ context.Context, before esh3ar.Time, next string, limit int) ([]esh3ar.MessageRef, string, error) {
	v, err := s.read()
	if err != nil {
		return nil, "", err
	}
	defer v.release()
	lower := []byte{waitingKey}
	if next != "" {
		if lower, err = hex.DecodeString(next); err != nil || len(lower) != waitingKeyLen || lower[0] != waitingKey {
			return nil, "", esh3ar.Errorf(esh3ar.Invalid, "cursor %q is not one that this walk gave", next)
		}
	}
	refs, following, err := queued(v, before, lower, limit)
	if err != nil {
		return nil, "", readError("walk inboxes", err)
	}
	return refs, hex.EncodeToString(following), nil
}

func queued(v *view, before esh3ar.Time, lower []byte, limit int) (refs []esh3ar.MessageRef, following []byte, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{waitingKey + 1}})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid; valid = it.Next() {
		if walked++; len(refs) >= limit || walked > walkLimit {
			return refs, append([]byte(nil), it.Key()...), nil
		}
		r, _, seq, ok := parseWaiting(it.Key())
		if !ok {
			return nil, nil, codec.ErrDamaged
		}
		ref, ok, err := stillQueued(v, r, seq, before)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			refs = append(refs, ref)
		}
	}
	return refs, nil, it.Error()
}

// stillQueued tells whether a waiting message is queued. One that got further has a row of steps, so for most the absence
// of that row, which a bloom filter knows, is all that is asked.
func stillQueued(v *view, r esh3ar.Recipient, seq esh3ar.Seq, before esh3ar.Time) (ref esh3ar.MessageRef, ok bool, err error) {
	row, err := getRow(v.snapshot, appendRecipientSeq(nil, stepsKey, r, seq))
	if err != nil {
		return ref, false, err
	}
	s := lifecycle.First(ref.ID, false)
	if row != nil { // who entered late, or again, has steps from before
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
