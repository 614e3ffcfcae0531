package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/esh3artech/esh3ar"
)

// readList walks the messages of a business backwards by id; an id begins with the creation time. The filters are applied in
// Go, so a page costs the rows it visits, however many match.
var readList = statement{"list", `SELECT ` + recordColumns + ` FROM messages m
	WHERE m.business = $1 AND m.id >= $2 AND m.id < $3 ORDER BY m.id DESC LIMIT $4`}

// listBatch bounds the rows read at a time. The first read suffices for most listings.
const listBatch = 500

// List implements esh3ar.MessageReader.
func (s *Store) List(ctx context.Context, q esh3ar.ListQuery) (esh3ar.ListPage, error) {
	var page esh3ar.ListPage
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
		n := min(listBatch, max(q.Limit+1, 50))
		records, err := s.records(ctx, readList, [16]byte(q.Business.UUID), lower, upper, n)
		if err != nil {
			return esh3ar.ListPage{}, readError("list messages", err)
		}
		for i := range records {
			walked++
			if len(page.Records) >= q.Limit || walked > walkLimit {
				page.NextCursor = hex.EncodeToString(upper[:])
				return page, nil
			}
			upper = records[i].ID.UUID
			if matches(&records[i], &q) {
				page.Records = append(page.Records, records[i])
			}
		}
		if len(records) < n {
			break
		}
	}
	return page, nil
}

// matches reports whether a record matches the filters of a query.
func matches(r *esh3ar.Record, q *esh3ar.ListQuery) bool {
	return (q.Recipient == 0 || q.Recipient == r.Recipient) && (len(q.Statuses) == 0 || slices.Contains(q.Statuses, r.Status)) &&
		(q.CorrelationID == "" || q.CorrelationID == r.CorrelationID)
}

// idRange returns the range of ids created in a period. The first 48 bits of an id are its creation time.
func idRange(from, until esh3ar.Time) (lower, upper [16]byte, err error) {
	if from > 0 {
		binary.BigEndian.PutUint64(lower[:], uint64(from)<<16)
	}
	if until == 0 {
		upper = [16]byte(slices.Repeat([]byte{0xff}, 16))
	} else if until > 0 { // before 1970: no id is that old
		binary.BigEndian.PutUint64(upper[:], uint64(until)<<16)
	}
	return lower, upper, nil
}

func parseIDCursor(cursor string) (id [16]byte, err error) {
	raw, err := hex.DecodeString(cursor)
	if err != nil || len(raw) != len(id) {
		return id, esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by a listing", cursor)
	}
	return [16]byte(raw), nil
}
