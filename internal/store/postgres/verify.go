package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

// Verify implements esh3ar.Verifier. What a single statement can find is an entry of checks. What needs decoded steps and
// events is found by a walk over all messages. All reads use one snapshot, which delays no other session because it has no
// transaction id. Every repair is a statement that checks again.
func (s *Store) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (survey esh3ar.VerifyReport, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return survey, readError("verify", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0"); err != nil { // the checks have no time limit
		return survey, readError("verify", err)
	}
	defer func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "RESET statement_timeout"); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx)) // the pool opens another connection
		}
	}()
	v := &verification{conn: conn.Conn(), repair: repair, found: func(f esh3ar.Finding) { survey.Findings++; found(f) }, survey: &survey}
	if err := v.run(ctx); err != nil {
		return survey, readError("verify", err)
	}
	return survey, nil
}

// verification is one run of Verify.
type verification struct {
	conn   *pgx.Conn
	repair bool
	found  func(esh3ar.Finding)
	survey *esh3ar.VerifyReport
}

func (v *verification) run(ctx context.Context) error {
	if v.repair { // repair the checks first: the walk then finds fewer consequences
		for _, c := range checks {
			if err := v.repairCheck(ctx, &c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	tx, err := v.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // read-only transaction
	if err := v.count(ctx, tx); err != nil {
		return err
	}
	for _, c := range checks {
		if err := v.report(ctx, tx, &c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	w := newWalk(v)
	if err := w.run(ctx, tx); err != nil {
		return err
	}
	if err := tx.Rollback(ctx); err != nil {
		return err
	}
	return w.runRepairs(ctx, v.conn)
}

func (v *verification) count(ctx context.Context, tx pgx.Tx) error {
	return tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM inbox), (SELECT count(*) FROM messages WHERE status = 0),
		(SELECT count(*) FROM dead_letters), (SELECT count(*) FROM tasks), (SELECT count(*) FROM idempotency_keys),
		(SELECT coalesce(sum(count), 0) FROM events), (SELECT count(*) FROM counters), (SELECT count(*) FROM set_aside)`).Scan(
		&v.survey.Messages, &v.survey.Waiting, &v.survey.Scheduled, &v.survey.DeadLetters, &v.survey.Tasks, &v.survey.Keys, &v.survey.Events,
		&v.survey.Recipients, &v.survey.SetAside)
}

// report reports the findings of a check.
func (v *verification) report(ctx context.Context, tx pgx.Tx, c *check) error {
	rows, err := tx.Query(ctx, c.find)
	if err != nil {
		return err
	}
	return v.reportRows(rows, c, esh3ar.Reported)
}

// repairCheck runs the repair of a check, and reports what it repaired.
func (v *verification) repairCheck(ctx context.Context, c *check) error {
	if c.repair == "" {
		return nil
	}
	rows, err := v.conn.Query(ctx, c.repair)
	if err != nil {
		return err
	}
	return v.reportRows(rows, c, c.action)
}

func (v *verification) reportRows(rows pgx.Rows, c *check, action string) error {
	defer rows.Close()
	for rows.Next() {
		f := esh3ar.Finding{Check: c.name, Detail: c.detail, Action: action}
		if err := rows.Scan(&f.Where, (*[16]byte)(&f.Message.UUID), &f.Recipient, &f.Seq); err != nil {
			return err
		}
		v.found(f)
	}
	return rows.Err()
}
