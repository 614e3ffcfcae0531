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

// runStep commits one step of housekeeping. Like a settle, it may wait for an append to share its commit with.
func (s *Store) runStep(ctx context.Context, stage func(*stagedBatch) error) error {
	if err := s.fault.Err(); err != nil {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "write: %w", err)
	}
	r := newRequest(0, stage)
	r.changes = 1
	return s.submit(ctx, r)
}

// Purge implements esh3ar.RetentionStore. It walks the listing index, which is sorted by creation time within a business.
func (s *Store) Purge(ctx context.Context, served esh3ar.RetentionCutoffs, next string, limit int) (purged int, following string, err error) {
	lower := []byte{listKey}
	if next != "" {
		if lower, err = hex.DecodeString(next); err != nil || len(lower) == 0 || lower[0] != listKey {
			return 0, "", esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by this walk", next)
		}
	}
	v, err := s.acquireView()
	if err != nil {
		return 0, "", err
	}
	ids, rest, err := expiredMessages(v, &served, lower, limit)
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

// expiredMessages returns messages past their retention, from key lower on, and the key at which the next call continues; nil at
// the end.
func expiredMessages(v *view, served *esh3ar.RetentionCutoffs, lower []byte, limit int) (ids []esh3ar.MessageID, rest []byte, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{listKey + 1}})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid; {
		walked++
		if len(ids) >= limit || walked > walkLimit {
			return ids, append([]byte(nil), it.Key()...), nil
		}
		where, id, err := parseList(it.Key(), it.Value())
		if err != nil {
			return nil, nil, err
		}
		before := served.For(where.business)
		if id.CreatedAt() >= before { // later messages of this business are even newer
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

// parseList parses a row of the listing index.
func parseList(key, row []byte) (location, esh3ar.MessageID, error) {
	var where location
	var id esh3ar.MessageID
	if len(key) != 33 || len(row) != 16 {
		return where, id, fmt.Errorf("listing row %x: %w", key, codec.ErrDamaged)
	}
	copy(where.business.UUID[:], key[1:])
	copy(id.UUID[:], key[17:])
	where.recipient, where.seq = esh3ar.Recipient(binary.BigEndian.Uint64(row)), esh3ar.Seq(binary.BigEndian.Uint64(row[8:]))
	return where, id, nil
}

// endedBefore reports whether the current life of a message ended before the given time.
func endedBefore(v *view, where location, id esh3ar.MessageID, before esh3ar.Time) (bool, error) {
	done, err := readSteps(v.snapshot, where, id)
	return err == nil && endedBy(&done, before), err
}

// endedBy reports whether the current life of a message ended before the given time.
func endedBy(done *lifecycle.Steps, before esh3ar.Time) bool {
	return done.EndedBefore(before) || faultinject.Is(faultinject.PurgeUnfinished) && done.Last().At < before
}

// purge deletes messages that still are as the walk found them, and returns their number.
func (s *Store) purge(ctx context.Context, ids []esh3ar.MessageID, served *esh3ar.RetentionCutoffs) (purged int, err error) {
	err = s.runStep(ctx, func(st *stagedBatch) error {
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

// purge stages the deletion of one message and all its rows except its events, which have their own retention. It returns
// false if the message has changed since the walk.
func (st *stagedBatch) purge(id esh3ar.MessageID, served *esh3ar.RetentionCutoffs) (bool, error) {
	s, err := st.load(id)
	if err != nil || s == nil || s.purged || s.changed() || !endedBy(&s.Steps, served.For(s.business)) {
		return false, err
	}
	m, ok, err := readBody(st.committer.store.db, s.recipient, s.seq, id)
	if err != nil {
		return false, err
	}
	s.purged = true
	keys := [][]byte{
		appendBodyKey(nil, s.recipient, s.seq, id), appendStepsKey(nil, s.recipient, s.seq, id),
		appendID(nil, id), appendList(nil, s.business, id),
	}
	if s.stored.failedAt != 0 {
		keys = append(keys, appendDeadLetter(nil, s.business, s.stored.failedAt, id))
	}
	if ok && !m.SendAt.IsZero() {
		keys = append(keys, appendTask(nil, m.SendAt, esh3ar.EnqueueTask, id))
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

// TrimEvents implements esh3ar.RetentionStore.
func (s *Store) TrimEvents(ctx context.Context, before esh3ar.Time) (more bool, err error) {
	v, err := s.acquireView()
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
	err = s.runStep(ctx, func(st *stagedBatch) error {
		_, since, err := readTrimmed(s.db)
		if err != nil {
			return st.fail(err)
		}
		since = max(since, before) // the clock may have been set back
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

// oldEvents returns the position of the last event of the log's prefix that is older than before; zero if there is none.
// more is true if the walk reached its limit.
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
		walked++
		if walked > walkLimit {
			return upTo, true, nil
		}
		upTo = binary.BigEndian.Uint64(it.Key()[1:])
	}
	return upTo, false, it.Error()
}

// trimmedLen is the length of the row that records the trim of the event log.
const trimmedLen = 16

// readTrimmed returns the position up to which the log was trimmed. All events with a time of since or later are still in
// the log.
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
