package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/esh3artech/esh3ar"
)

// readList walks a business's messages backwards by their ids, whose time part is the creation time. The filters are applied
// here: a page costs what it walks over, whatever matches.
var readList = statement{"list", `SELECT ` + recordColumns + ` FROM messages m
	WHERE m.business = $1 AND m.id >= $2 AND m.id < $3 ORDER BY m.id DESC LIMIT $4`}

// listStep is how many rows are read at a time: most listings find what they look for in the first.
const listStep = 500

// List realises esh3ar.MessageReader.
func (s *Store) List(ctx context.Context, q esh3ar.ListQuery) (page esh3ar.ListPage, err error) {
	lower, upper, err := idRange(q.From, q.Until)
	if err != nil {
		return page, err
	}
	if q.Cursor != "" {
		seen, err := parseIDCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		if slices.Compare(seen[:], upper[:]) < 0 {
			upper = seen
		}
	}
	for walked := 0; slices.Compare(lower[:], upper[:]) < 0; {
		n := min(listStep, max(q.Limit+1, 50))
		records, err := s.records(ctx, readList, [16]byte(q.Business.UUID), lower, upper, n)
		if err != nil {
			return esh3ar.ListPage{}, readError("list messages", err)
		}
		for i := range records {
			if walked++; len(page.Records) >= q.Limit || walked > walkLimit {
				page.NextCursor = hex.EncodeToString(upper[:])
				return page, nil
			}
			upper = records[i].ID.UUID
			if listed(&records[i], &q) {
				page.Records = append(page.Records, records[i])
			}
		}
		if len(records) < n {
			break
		}
	}
	return page, nil
}

func listed(r *esh3ar.Record, q *esh3ar.ListQuery) bool {
	return (q.Recipient == 0 || q.Recipient == r.Recipient) && (len(q.Statuses) == 0 || slices.Contains(q.Statuses, r.Status)) &&
		(q.CorrelationID == "" || q.CorrelationID == r.CorrelationID)
}

// idRange is the range of ids that were made in a time; the first 48 bits of an id are its time.
func idRange(from, until esh3ar.Time) (lower, upper [16]byte, err error) {
	if from > 0 {
		binary.BigEndian.PutUint64(lower[:], uint64(from)<<16)
	}
	switch {
	case until == 0:
		upper = [16]byte(slices.Repeat([]byte{0xff}, 16))
	case until > 0: // before 1970: no id is that old
		binary.BigEndian.PutUint64(upper[:], uint64(until)<<16)
	}
	return lower, upper, nil
}

func parseIDCursor(cursor string) (id [16]byte, err error) {
	raw, err := hex.DecodeString(cursor)
	if err != nil || len(raw) != len(id) {
		return id, esh3ar.Errorf(esh3ar.Invalid, "cursor %q is not one that a listing gave", cursor)
	}
	return [16]byte(raw), nil
}
