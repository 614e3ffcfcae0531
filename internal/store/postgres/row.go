package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// row is what settling needs to know of a message.
type row struct {
	id        esh3ar.MessageID
	recipient esh3ar.Recipient
	business  esh3ar.BusinessID
	lane      esh3ar.Priority
	seq       esh3ar.Seq
	sendAt    esh3ar.Time
	ttl       time.Duration
	expiresAt esh3ar.Time
	more      bool // it has a correlation id or metadata
	discarded bool
	revision  int
	lifecycle.Steps
}

// rowOf is a message as append_calls stores it.
func rowOf(m *esh3ar.Message) row {
	return row{
		id: m.ID, recipient: m.Recipient, business: m.Business, lane: m.Priority, seq: m.Seq, sendAt: m.SendAt, ttl: m.TTL, expiresAt: m.ExpiresAt,
		more: hasMore(m), revision: 1, Steps: lifecycle.First(m.ID, !m.SendAt.IsZero()),
	}
}

func hasMore(m *esh3ar.Message) bool { return m.CorrelationID != "" || len(m.Metadata) > 0 }

// clone is a row whose steps may be changed.
func (r *row) clone() *row {
	c := *r
	c.List = slices.Clip(r.List)
	return &c
}

// waits tells whether the message has a row in the inbox.
func (r *row) waits() bool { return r.seq != 0 && !r.Stage().Status.Ends() }

// deadSince is when it became a dead letter; zero: it is none.
func (r *row) deadSince() esh3ar.Time {
	if r.discarded {
		return 0
	}
	return r.FailedAt()
}

// entry is the event of its n-th step.
func (r *row) entry(n int) lifecycle.Entry {
	return lifecycle.Entry{Message: r.id, Business: r.business, Recipient: r.recipient, Version: uint32(n + 1), More: r.more, Step: r.List[n]}
}

var readRows = statement{"read_rows", `SELECT id, recipient, business, lane, coalesce(seq, 0), send_at, ttl, expires_at,
	correlation_id <> '' OR metadata IS NOT NULL, discarded, revision, steps FROM messages WHERE id = ANY ($1)`}

// read reads rows; what is not there is not in the result.
func (s *Store) readRows(ctx context.Context, ids []esh3ar.MessageID) (map[esh3ar.MessageID]row, error) {
	found := make(map[esh3ar.MessageID]row, len(ids))
	err := s.query(ctx, readRows, func(rows pgx.Rows) error {
		var r row
		var ttl int64
		var steps []byte
		if err := rows.Scan((*[16]byte)(&r.id.UUID), &r.recipient, (*[16]byte)(&r.business.UUID), &r.lane, &r.seq, &r.sendAt, &ttl, &r.expiresAt,
			&r.more, &r.discarded, &r.revision, &steps); err != nil {
			return err
		}
		r.ttl = time.Duration(ttl) * time.Second
		var err error
		if r.Steps, err = lifecycle.Decode(steps, r.id, !r.sendAt.IsZero()); err != nil {
			return err
		}
		found[r.id] = r
		return nil
	}, uuids(ids))
	return found, err
}

// uuids is an argument.
func uuids(ids []esh3ar.MessageID) [][16]byte {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id.UUID
	}
	return raw
}
