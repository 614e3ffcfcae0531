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

// eventBuckets is the number of sums to which events are compared. It bounds the memory of a walk, and the share of messages
// that are compared one by one if a sum differs.
const eventBuckets = 1 << 12

// walk checks every message and every event. Messages are hashed into buckets. Per bucket, the steps and the events are
// summed up by a hash that any missing or duplicate event changes. If the sum of a bucket is not zero at the end, its
// messages are compared one by one.
type walk struct {
	*verification
	seed     maphash.Seed
	logStart esh3ar.Time // older events may have been trimmed
	sums     [eventBuckets]uint64
	counts   [eventBuckets]int
	repairs  []func(ctx context.Context, conn *pgx.Conn) error
}

func newWalk(v *verification) *walk {
	return &walk{verification: v, seed: maphash.MakeSeed(), logStart: -1 << 62}
}

func (w *walk) run(ctx context.Context, tx pgx.Tx) error {
	if err := tx.QueryRow(ctx, readTrimmed.sql).Scan(new(int64), new(int), &w.logStart); err != nil && !isNoRows(err) {
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

// runRepairs runs the repairs that the walk collected; none without a repair.
func (w *walk) runRepairs(ctx context.Context, conn *pgx.Conn) error {
	for _, repair := range w.repairs {
		if err := repair(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// finding reports a fault. If this run repairs, repair is collected and action is reported.
func (w *walk) finding(f esh3ar.Finding, action string, repair func(ctx context.Context, conn *pgx.Conn) error) {
	f.Action = esh3ar.Reported
	if w.repair && repair != nil {
		f.Action = action
		w.repairs = append(w.repairs, repair)
	}
	w.found(f)
}

// walkedMessage is a message as read by the walk.
type walkedMessage struct {
	row
	damaged                         bool
	status, life, attempts, version int
	deadLetterAtStored              *int64 // failure time of its dead letter; nil if it has none
}

const walkedColumns = `SELECT m.id, m.recipient, m.business, coalesce(m.seq, 0), m.send_at <> 0, m.steps, m.status, m.life, m.attempts, m.version, m.discarded, m.revision,
	m.correlation_id <> '' OR m.metadata IS NOT NULL, (SELECT max(d.failed_at) FROM dead_letters d WHERE d.business = m.business AND d.id = m.id) FROM messages m `

// messages calls look for every message that matches the condition where; all if it is empty.
func (w *walk) messages(ctx context.Context, tx pgx.Tx, where string, look func(*walkedMessage), args ...any) error {
	rows, err := tx.Query(ctx, walkedColumns+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m walkedMessage
		var scheduled bool
		var steps []byte
		if err := rows.Scan((*[16]byte)(&m.id.UUID), &m.recipient, (*[16]byte)(&m.business.UUID), &m.seq, &scheduled, &steps, &m.status, &m.life, &m.attempts,
			&m.version, &m.discarded, &m.revision, &m.annotated, &m.deadLetterAtStored); err != nil {
			return err
		}
		m.Steps, err = lifecycle.Decode(steps, m.id, scheduled)
		m.damaged = err != nil
		look(&m)
	}
	return rows.Err()
}

func (m *walkedMessage) finding(check, detail string) esh3ar.Finding {
	return esh3ar.Finding{Check: check, Where: "message " + m.id.String(), Detail: detail, Message: m.id, Recipient: m.recipient, Seq: m.seq}
}

// message checks one message.
func (w *walk) message(m *walkedMessage) {
	if m.damaged {
		w.finding(m.finding("steps_damaged", "its steps cannot be decoded"), "", nil)
		return
	}
	for i := 1; i < len(m.List); i++ {
		was, is := m.List[i-1], m.List[i]
		if !(esh3ar.Stage{Life: was.Life, Status: was.Status}).CanBecome(esh3ar.Stage{Life: is.Life, Status: is.Status}) {
			w.finding(m.finding("steps_illegal", fmt.Sprintf("the status changes from %s to %s, which is illegal", was.Status, is.Status)), "", nil)
		}
	}
	if stage := m.Stage(); int(stage.Status) != m.status || int(stage.Life) != m.life || m.Attempts != m.attempts || len(m.List) != m.version {
		w.finding(m.finding("progress_differs", "its columns do not match its steps"), esh3ar.Mended, m.setProgress())
	}
	w.deadLetter(m)
	for i := range m.List {
		if m.List[i].At > w.logStart {
			b := w.bucket(m.id)
			w.sums[b] += w.hash(m.id, i+1)
			w.counts[b]++
		}
	}
}

// setProgress returns a repair that sets the columns from the steps.
func (m *walkedMessage) setProgress() func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		stage := m.Stage()
		_, err := conn.Exec(ctx, `UPDATE messages SET status = $3, life = $4, attempts = $5, version = $6, revision = revision + 1 WHERE id = $1 AND revision = $2`,
			[16]byte(m.id.UUID), m.revision, int(stage.Status), int(stage.Life), m.Attempts, len(m.List))
		return err
	}
}

// deadLetter compares a message with the dead letters.
func (w *walk) deadLetter(m *walkedMessage) {
	failed := m.deadLetterAt()
	if failed != 0 && (m.deadLetterAtStored == nil || *m.deadLetterAtStored != int64(failed)) {
		w.finding(m.finding("dead_letter_missing", "it has failed but is missing from the dead letters"), esh3ar.Mended, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `INSERT INTO dead_letters (business, failed_at, id) SELECT business, $3, id FROM messages WHERE id = $1 AND revision = $2
				ON CONFLICT DO NOTHING`, [16]byte(m.id.UUID), m.revision, int64(failed))
			return err
		})
	} else if m.deadLetterAtStored != nil && *m.deadLetterAtStored != int64(failed) {
		w.finding(m.finding("dead_letter_stray", "it is among the dead letters but has not failed"), esh3ar.SetAside, func(ctx context.Context, conn *pgx.Conn) error {
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
