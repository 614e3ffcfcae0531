package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// row is what settling needs to know about a message.
type row struct {
	id        esh3ar.MessageID
	recipient esh3ar.Recipient
	business  esh3ar.BusinessID
	lane      esh3ar.Priority
	seq       esh3ar.Seq
	sendAt    esh3ar.Time
	ttl       time.Duration
	expiresAt esh3ar.Time
	annotated bool // whether it has a correlation id or metadata, which its events must carry
	discarded bool // whether its dead letter was discarded
	revision  int  // incremented by every change of the row
	lifecycle.Steps
}

// rowOf returns the row of a message as append_calls stores it.
func rowOf(m *esh3ar.Message) row {
	return row{
		id: m.ID, recipient: m.Recipient, business: m.Business, lane: m.Priority, seq: m.Seq, sendAt: m.SendAt, ttl: m.TTL, expiresAt: m.ExpiresAt,
		annotated: isAnnotated(m), revision: 1, Steps: lifecycle.First(m.ID, !m.SendAt.IsZero()),
	}
}

func isAnnotated(m *esh3ar.Message) bool { return m.CorrelationID != "" || len(m.Metadata) > 0 }

// clone returns a copy whose steps may be appended to.
func (r *row) clone() *row {
	c := *r
	c.List = slices.Clip(r.List)
	return &c
}

// inInbox reports whether the message has a row in the inbox.
func (r *row) inInbox() bool { return r.seq != 0 && !r.Stage().Status.Ends() }

// deadLetterAt returns the time at which the message became a dead letter; zero if it is none.
func (r *row) deadLetterAt() esh3ar.Time {
	if r.discarded {
		return 0
	}
	return r.FailedAt()
}

// entry returns the event of the n-th step, counted from zero.
func (r *row) entry(n int) lifecycle.Entry {
	return lifecycle.Entry{Message: r.id, Business: r.business, Recipient: r.recipient, Version: uint32(n + 1), Annotated: r.annotated, Step: r.List[n]}
}

var readRows = statement{"read_rows", `SELECT id, recipient, business, lane, coalesce(seq, 0), send_at, ttl, expires_at,
	correlation_id <> '' OR metadata IS NOT NULL, discarded, revision, steps FROM messages WHERE id = ANY ($1)`}

// readRows returns the rows of the messages that exist.
func (s *Store) readRows(ctx context.Context, ids []esh3ar.MessageID) (map[esh3ar.MessageID]row, error) {
	found := make(map[esh3ar.MessageID]row, len(ids))
	err := s.query(ctx, readRows, func(rows pgx.Rows) error {
		var r row
		var ttl int64
		var steps []byte
		if err := rows.Scan((*[16]byte)(&r.id.UUID), &r.recipient, (*[16]byte)(&r.business.UUID), &r.lane, &r.seq, &r.sendAt, &ttl, &r.expiresAt,
			&r.annotated, &r.discarded, &r.revision, &steps); err != nil {
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

// uuids converts ids to an array argument.
func uuids(ids []esh3ar.MessageID) [][16]byte {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id.UUID
	}
	return raw
}
