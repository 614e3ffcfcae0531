package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

var readMessage = statement{"message", `SELECT ` + recordColumns + ` FROM messages m WHERE m.id = $1`}

// Message implements esh3ar.MessageReader.
func (s *Store) Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error) {
	records, err := s.records(ctx, readMessage, [16]byte(id.UUID))
	if err != nil {
		return esh3ar.Record{}, readError("read message", err)
	}
	if len(records) == 0 {
		return esh3ar.Record{}, esh3ar.Errorf(esh3ar.NotFound, "no message %s", id)
	}
	return records[0], nil
}

// Progresses implements esh3ar.MessageReader.
func (s *Store) Progresses(ctx context.Context, refs []esh3ar.MessageRef) ([]esh3ar.Progress, error) {
	ids := make([]esh3ar.MessageID, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	rows, err := s.readRows(ctx, ids)
	if err != nil {
		return nil, readError("read progress", err)
	}
	found := make([]esh3ar.Progress, len(refs))
	for i, ref := range refs {
		if r, ok := rows[ref.ID]; ok && r.recipient == ref.Recipient {
			found[i] = r.Progress(0)
		}
	}
	return found, nil
}

var readHistory = statement{"history", `SELECT m.recipient, m.business, m.correlation_id, m.metadata, m.send_at <> 0, m.steps FROM messages m WHERE m.id = $1`}

// History implements esh3ar.MessageReader.
func (s *Store) History(ctx context.Context, id esh3ar.MessageID) ([]esh3ar.Event, error) {
	var events []esh3ar.Event
	err := s.query(ctx, readHistory, func(rows pgx.Rows) error {
		m := row{id: id}
		var correlation string
		var metadata map[string]string
		var scheduled bool
		var steps []byte
		err := rows.Scan(&m.recipient, (*[16]byte)(&m.business.UUID), &correlation, &metadata, &scheduled, &steps)
		if err != nil {
			return err
		}
		if m.Steps, err = lifecycle.Decode(steps, id, scheduled); err != nil {
			return err
		}
		for i := range m.List {
			e := m.entry(i)
			event := e.Event()
			event.CorrelationID, event.Metadata = correlation, metadata
			events = append(events, event)
		}
		return nil
	}, [16]byte(id.UUID))
	if err != nil {
		return nil, readError("read history", err)
	}
	if events == nil {
		return nil, esh3ar.Errorf(esh3ar.NotFound, "no message %s", id)
	}
	return events, nil
}
