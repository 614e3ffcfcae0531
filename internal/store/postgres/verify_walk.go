package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// eventBuckets is how many sums the events are held against: the memory of a walk does not grow with the store, and a
// difference is looked for among one part in so many of the messages.
const eventBuckets = 1 << 12

// walk looks at every message and every event. Steps and events are added up by message, in buckets, by a hash that no missing
// or doubled event leaves alone; where a sum differs the messages of that bucket are compared one by one.
type walk struct {
	*verification
	seed   maphash.Seed
	since  esh3ar.Time // events of before may have been trimmed
	sums   [eventBuckets]uint64
	counts [eventBuckets]int
	mends  []func(ctx context.Context, conn *pgx.Conn) error
}

func newWalk(v *verification) *walk {
	return &walk{verification: v, seed: maphash.MakeSeed(), since: -1 << 62}
}

func (w *walk) run(ctx context.Context, tx pgx.Tx) error {
	if err := tx.QueryRow(ctx, readTrimmed.sql).Scan(new(int64), new(int), &w.since); err != nil && !isNoRows(err) {
		return err
	}
	if err := w.messages(ctx, tx, "", w.message); err != nil {
		return err
	}
	if err := w.events(ctx, tx); err != nil {
		return err
	}
	return w.compare(ctx, tx)
}

// mend carries out what the walk decided; without a repair that is nothing.
func (w *walk) mend(ctx context.Context, conn *pgx.Conn) error {
	for _, mend := range w.mends {
		if err := mend(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// finding tells of a fault; mend does what action says, if this is a repair.
func (w *walk) finding(f esh3ar.Finding, action string, mend func(ctx context.Context, conn *pgx.Conn) error) {
	if f.Action = esh3ar.Reported; w.repair && mend != nil {
		f.Action = action
		w.mends = append(w.mends, mend)
	}
	w.found(f)
}

// verified is a message as the walk reads it.
type verified struct {
	row
	damaged                         bool
	status, life, attempts, version int
	dead                            *int64 // when its dead letter says that it failed
}

const walkedColumns = `SELECT m.id, m.recipient, m.business, coalesce(m.seq, 0), m.send_at <> 0, m.steps, m.status, m.life, m.attempts, m.version, m.discarded, m.revision,
	m.correlation_id <> '' OR m.metadata IS NOT NULL, (SELECT max(d.failed_at) FROM dead_letters d WHERE d.business = m.business AND d.id = m.id) FROM messages m `

// messages gives every message, or those of a condition, to look.
func (w *walk) messages(ctx context.Context, tx pgx.Tx, where string, look func(*verified), args ...any) error {
	rows, err := tx.Query(ctx, walkedColumns+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m verified
		var scheduled bool
		var steps []byte
		if err := rows.Scan((*[16]byte)(&m.id.UUID), &m.recipient, (*[16]byte)(&m.business.UUID), &m.seq, &scheduled, &steps, &m.status, &m.life, &m.attempts,
			&m.version, &m.discarded, &m.revision, &m.more, &m.dead); err != nil {
			return err
		}
		m.Steps, err = lifecycle.Decode(steps, m.id, scheduled)
		m.damaged = err != nil
		look(&m)
	}
	return rows.Err()
}

func (m *verified) finding(check, detail string) esh3ar.Finding {
	return esh3ar.Finding{Check: check, Where: "message " + m.id.String(), Detail: detail, Message: m.id, Recipient: m.recipient, Seq: m.seq}
}

// message looks at one message.
func (w *walk) message(m *verified) {
	if m.damaged {
		w.finding(m.finding("steps_damaged", "its status changes cannot be read"), "", nil)
		return
	}
	for i := 1; i < len(m.List); i++ {
		was, is := m.List[i-1], m.List[i]
		if !(esh3ar.Stage{Life: was.Life, Status: was.Status}).CanBecome(esh3ar.Stage{Life: is.Life, Status: is.Status}) {
			w.finding(m.finding("steps_illegal", fmt.Sprintf("it became %s after %s", is.Status, was.Status)), "", nil)
		}
	}
	if stage := m.Stage(); int(stage.Status) != m.status || int(stage.Life) != m.life || m.Attempts != m.attempts || len(m.List) != m.version {
		w.finding(m.finding("progress_differs", "its columns say something else than its steps"), esh3ar.Mended, m.setProgress())
	}
	w.deadLetter(m)
	for i := range m.List {
		if m.List[i].At > w.since {
			b := w.bucket(m.id)
			w.sums[b] += w.hash(m.id, i+1)
			w.counts[b]++
		}
	}
}

// setProgress makes the columns say what the steps do.
func (m *verified) setProgress() func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		stage := m.Stage()
		_, err := conn.Exec(ctx, `UPDATE messages SET status = $3, life = $4, attempts = $5, version = $6, revision = revision + 1 WHERE id = $1 AND revision = $2`,
			[16]byte(m.id.UUID), m.revision, int(stage.Status), int(stage.Life), m.Attempts, len(m.List))
		return err
	}
}

// deadLetter holds a message against the dead letters.
func (w *walk) deadLetter(m *verified) {
	failed := m.deadSince()
	switch {
	case failed != 0 && (m.dead == nil || *m.dead != int64(failed)):
		w.finding(m.finding("dead_letter_missing", "it failed and is not among the dead letters"), esh3ar.Mended, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `INSERT INTO dead_letters (business, failed_at, id) SELECT business, $3, id FROM messages WHERE id = $1 AND revision = $2
				ON CONFLICT DO NOTHING`, [16]byte(m.id.UUID), m.revision, int64(failed))
			return err
		})
	case m.dead != nil && *m.dead != int64(failed):
		w.finding(m.finding("dead_letter_stray", "it is among the dead letters and has not failed"), esh3ar.SetAside, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `WITH gone AS (DELETE FROM dead_letters d USING messages m WHERE m.id = $1 AND m.revision = $2 AND d.business = m.business AND d.id = m.id RETURNING d.*)
				INSERT INTO set_aside (source, finding, row) SELECT 'dead_letters', 'dead_letter_stray', to_jsonb(gone) FROM gone`, [16]byte(m.id.UUID), m.revision)
			return err
		})
	}
}

func (w *walk) bucket(id esh3ar.MessageID) int {
	return int(maphash.Bytes(w.seed, id.UUID[:]) % eventBuckets)
}

func (w *walk) hash(id esh3ar.MessageID, version int) uint64 {
	return maphash.Bytes(w.seed, binary.BigEndian.AppendUint32(append([]byte(nil), id.UUID[:]...), uint32(version)))
}
