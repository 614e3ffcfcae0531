package embedded

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// chore is a step of housekeeping: it waits for the company of others like a settle.
func (s *Store) chore(ctx context.Context, stage func(*staging) error) error {
	if err := s.fault.Err(); err != nil {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "write: %w", err)
	}
	r := newRequest(0, stage)
	r.changes = 1
	return s.submit(ctx, r)
}

// Purge realises esh3ar.Janitor. It walks the listings: within a business they are sorted by age.
func (s *Store) Purge(ctx context.Context, served esh3ar.Served, next string, limit int) (purged int, following string, err error) {
	lower := []byte{listKey}
	if next != "" {
		if lower, err = hex.DecodeString(next); err != nil || len(lower) == 0 || lower[0] != listKey {
			return 0, "", esh3ar.Errorf(esh3ar.Invalid, "cursor %q is not one that this walk gave", next)
		}
	}
	v, err := s.read()
	if err != nil {
		return 0, "", err
	}
	ids, rest, err := finished(v, &served, lower, limit)
	v.release()
	if err != nil {
		return 0, "", readError("walk finished messages", err)
	}
	if len(ids) > 0 {
		if purged, err = s.purge(ctx, ids, &served); err != nil {
			return 0, "", err
		}
	}
	return purged, hex.EncodeToString(rest), nil
}

// finished finds messages that have served, from lower on; rest is where to go on.
func finished(v *view, served *esh3ar.Served, lower []byte, limit int) (ids []esh3ar.MessageID, rest []byte, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{listKey + 1}})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid; {
		if walked++; len(ids) >= limit || walked > walkLimit {
			return ids, append([]byte(nil), it.Key()...), nil
		}
		where, id, err := parseList(it.Key(), it.Value())
		if err != nil {
			return nil, nil, err
		}
		before := served.Until(where.business)
		if id.CreatedAt() >= before { // so is what follows of this business
			valid = it.SeekGE(successor(it.Key()[:17]))
			continue
		}
		if ended, err := endedBefore(v, where, id, before); err != nil {
			return nil, nil, err
		} else if ended {
			ids = append(ids, id)
		}
		valid = it.Next()
	}
	return ids, nil, it.Error()
}

func parseList(key, row []byte) (where place, id esh3ar.MessageID, err error) {
	if len(key) != 33 || len(row) != 16 {
		return where, id, fmt.Errorf("listing row %x: %w", key, codec.ErrDamaged)
	}
	copy(where.business.UUID[:], key[1:])
	copy(id.UUID[:], key[17:])
	where.recipient, where.seq = esh3ar.Recipient(binary.BigEndian.Uint64(row)), esh3ar.Seq(binary.BigEndian.Uint64(row[8:]))
	return where, id, nil
}

// endedBefore looks at the steps: a message without any is where it began, and not at its end.
func endedBefore(v *view, where place, id esh3ar.MessageID, before esh3ar.Time) (bool, error) {
	done, err := readSteps(v.snapshot, where, id)
	return err == nil && over(&done, before), err
}

// over tells whether a message's life ended before a time.
func over(done *lifecycle.Steps, before esh3ar.Time) bool {
	return done.EndedBefore(before) || faultinject.Is(faultinject.PurgeUnfinished) && done.Last().At < before
}

// purge deletes messages, if they still are as the walk saw them.
func (s *Store) purge(ctx context.Context, ids []esh3ar.MessageID, served *esh3ar.Served) (purged int, err error) {
	err = s.chore(ctx, func(st *staging) error {
		for _, id := range ids {
			done, err := st.purge(id, served)
			if err != nil {
				return st.fail(err)
			}
			if done {
				purged++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return purged, nil
}

// purge stages the end of one message and of all that belongs to it, but for its events: those have their own time.
func (st *staging) purge(id esh3ar.MessageID, served *esh3ar.Served) (bool, error) {
	s, err := st.load(id)
	if err != nil || s == nil || s.gone || s.changed() || !over(&s.Steps, served.Until(s.business)) {
		return false, err
	}
	m, ok, err := readBody(st.committer.store.db, s.recipient, s.seq, id)
	if err != nil {
		return false, err
	}
	s.gone = true
	keys := [][]byte{
		appendBodyKey(nil, s.recipient, s.seq, id), appendStepsKey(nil, s.recipient, s.seq, id),
		appendID(nil, id), appendList(nil, s.business, id),
	}
	if s.stored.dead != 0 {
		keys = append(keys, appendDead(nil, s.business, s.stored.dead, id))
	}
	if ok && !m.SendAt.IsZero() {
		keys = append(keys, appendTask(nil, m.SendAt, esh3ar.EnterTask, id))
	}
	if ok && !m.ExpiresAt.IsZero() {
		keys = append(keys, appendTask(nil, m.ExpiresAt, esh3ar.ExpireTask, id))
	}
	for _, key := range keys {
		if err := st.batch.Delete(key, nil); err != nil {
			return false, err
		}
	}
	return true, nil
}

// TrimEvents realises esh3ar.Janitor.
func (s *Store) TrimEvents(ctx context.Context, before esh3ar.Time) (more bool, err error) {
	v, err := s.read()
	if err != nil {
		return false, err
	}
	upTo, more, err := oldEvents(v, before)
	v.release()
	if err != nil {
		return false, readError("read event log", err)
	}
	if upTo == 0 {
		return false, nil
	}
	err = s.chore(ctx, func(st *staging) error {
		_, since, err := readTrimmed(s.db)
		if err != nil {
			return st.fail(err)
		}
		since = max(since, before) // the clock may have been turned back
		if err := st.batch.DeleteRange([]byte{eventKey}, appendEvent(nil, upTo+1), nil); err != nil {
			return st.fail(err)
		}
		if err := st.set([]byte{trimmedKey}, appendUint64(appendUint64(nil, upTo), uint64(since))); err != nil {
			return st.fail(err)
		}
		return nil
	})
	return more && err == nil, err
}

// oldEvents finds the newest of the oldest events that happened before a time; zero: there is none.
func oldEvents(v *view, before esh3ar.Time) (upTo uint64, more bool, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKey}, UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid; valid = it.Next() {
		row, err := decodeEvent(it.Value())
		if err != nil {
			return 0, false, fmt.Errorf("event %x: %w", it.Key()[1:], err)
		}
		if row.At >= before {
			return upTo, false, nil
		}
		if walked++; walked > walkLimit {
			return upTo, true, nil
		}
		upTo = binary.BigEndian.Uint64(it.Key()[1:])
	}
	return upTo, false, it.Error()
}

// trimmedLen is the length of the row that says how far the log was trimmed.
const trimmedLen = 16

// readTrimmed is the position up to which the log was trimmed; every event from since on is behind it.
func readTrimmed(src source) (upTo uint64, since esh3ar.Time, err error) {
	row, err := getRow(src, []byte{trimmedKey})
	if err != nil || row == nil {
		return 0, math.MinInt64, err
	}
	if len(row) != trimmedLen {
		return 0, 0, fmt.Errorf("trimmed position %x: %w", row, codec.ErrDamaged)
	}
	return binary.BigEndian.Uint64(row), esh3ar.Time(binary.BigEndian.Uint64(row[8:])), nil
}
