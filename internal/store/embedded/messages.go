package embedded

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// Message implements esh3ar.MessageReader.
func (s *Store) Message(_ context.Context, id esh3ar.MessageID) (esh3ar.Record, error) {
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.Record{}, err
	}
	defer v.release()
	where, ok, err := readLocation(v.snapshot, id)
	if err != nil {
		return esh3ar.Record{}, readError("read message", err)
	}
	if !ok {
		return esh3ar.Record{}, esh3ar.Errorf(esh3ar.NotFound, "no message %s", id)
	}
	record, ok, err := readRecord(v.snapshot, where.recipient, where.seq, id)
	if err == nil && !ok {
		err = fmt.Errorf("message %s has no body; run `esh3ar verify`", id)
	}
	if err != nil {
		return esh3ar.Record{}, readError("read message", err)
	}
	return record, nil
}

// Progresses implements esh3ar.MessageReader.
func (s *Store) Progresses(_ context.Context, refs []esh3ar.MessageRef) ([]esh3ar.Progress, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	found := make([]esh3ar.Progress, len(refs))
	for i, ref := range refs {
		where, ok, err := readLocation(v.snapshot, ref.ID)
		if err != nil {
			return nil, readError("read progress", err)
		}
		if !ok || where.recipient != ref.Recipient {
			continue
		}
		done, err := readSteps(v.snapshot, where, ref.ID)
		if err != nil {
			return nil, readError("read progress", err)
		}
		found[i] = done.Progress(0)
	}
	return found, nil
}

// History implements esh3ar.MessageReader.
func (s *Store) History(_ context.Context, id esh3ar.MessageID) ([]esh3ar.Event, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	where, ok, err := readLocation(v.snapshot, id)
	if err != nil {
		return nil, readError("read history", err)
	}
	if !ok {
		return nil, esh3ar.Errorf(esh3ar.NotFound, "no message %s", id)
	}
	m, _, err := readBody(v.snapshot, where.recipient, where.seq, id)
	if err != nil {
		return nil, readError("read history", err)
	}
	done, err := readSteps(v.snapshot, where, id)
	if err != nil {
		return nil, readError("read history", err)
	}
	events := make([]esh3ar.Event, len(done.List))
	for i, st := range done.List {
		row := eventRow{id: id, business: where.business, recipient: where.recipient, version: uint32(i + 1), Step: st}
		events[i] = row.event(&m)
	}
	return events, nil
}

// List implements esh3ar.MessageReader. It walks the ids of the business backwards; an id begins with the creation time.
func (s *Store) List(_ context.Context, q esh3ar.ListQuery) (esh3ar.ListPage, error) {
	lower, upper, err := listBounds(q)
	if err != nil {
		return esh3ar.ListPage{}, err
	}
	if bytes.Compare(lower, upper) >= 0 {
		return esh3ar.ListPage{}, nil
	}
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.ListPage{}, err
	}
	defer v.release()
	page, err := list(v, q, lower, upper)
	if err != nil {
		return esh3ar.ListPage{}, readError("list messages", err)
	}
	return page, nil
}

// listBounds returns the key range of a listing. An empty range has lower >= upper.
func listBounds(q esh3ar.ListQuery) (lower, upper []byte, err error) {
	prefix := append([]byte{listKey}, q.Business.UUID[:]...)
	lower = slices.Clone(prefix)
	if q.From > 0 {
		lower = appendUint64(lower, uint64(q.From)<<16) // the first 48 bits of an id are its creation time
	}
	upper = successor(prefix)
	if q.Until < 0 { // before 1970: no id is that old
		upper = slices.Clone(lower)
	} else if q.Until > 0 {
		upper = appendUint64(slices.Clone(prefix), uint64(q.Until)<<16)
	}
	if q.Cursor == "" {
		return lower, upper, nil
	}
	id, err := hex.DecodeString(q.Cursor)
	if err != nil || len(id) != 16 {
		return nil, nil, esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by a listing", q.Cursor)
	}
	if seen := append(prefix, id...); upper == nil || bytes.Compare(seen, upper) < 0 {
		upper = seen
	}
	return lower, upper, nil
}

func list(v *view, q esh3ar.ListQuery, lower, upper []byte) (esh3ar.ListPage, error) {
	var page esh3ar.ListPage
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return page, err
	}
	defer it.Close()
	walked := 0
	last := ""
	for valid := it.Last(); valid; valid = it.Prev() {
		walked++
		if len(page.Records) >= q.Limit || walked > walkLimit {
			page.NextCursor = last
			return page, nil
		}
		last = hex.EncodeToString(it.Key()[17:])
		where, id, err := parseList(it.Key(), it.Value())
		if err != nil {
			return page, err
		}
		if q.Recipient != 0 && q.Recipient != where.recipient {
			continue
		}
		record, ok, err := readRecord(v.snapshot, where.recipient, where.seq, id)
		if err != nil {
			return page, err
		}
		if ok && matches(&record, &q) {
			page.Records = append(page.Records, record)
		}
	}
	return page, it.Error()
}

func matches(r *esh3ar.Record, q *esh3ar.ListQuery) bool {
	return (len(q.Statuses) == 0 || slices.Contains(q.Statuses, r.Status)) &&
		(q.CorrelationID == "" || q.CorrelationID == r.CorrelationID)
}
