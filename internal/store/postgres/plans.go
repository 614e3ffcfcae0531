package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var (
	putPlan = statement{"put_plan", `INSERT INTO plans AS p (name, rate, burst, daily_quota, concurrent, level, retention, updated_at, inbox_limit, recipient_rate, recipient_burst) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (name) DO UPDATE SET rate = excluded.rate, burst = excluded.burst, daily_quota = excluded.daily_quota, concurrent = excluded.concurrent,
			level = excluded.level, retention = excluded.retention, updated_at = excluded.updated_at,
			inbox_limit = excluded.inbox_limit, recipient_rate = excluded.recipient_rate, recipient_burst = excluded.recipient_burst`}
	readPlans  = statement{"plans", `SELECT name, rate, burst, daily_quota, concurrent, level, retention, updated_at, inbox_limit, recipient_rate, recipient_burst FROM plans ORDER BY name`}
	dropPlan   = statement{"drop_plan", `DELETE FROM plans WHERE name = $1 AND NOT EXISTS (SELECT FROM businesses WHERE plan = $1)`}
	holders    = statement{"plan_holders", `SELECT id FROM businesses WHERE plan = $1`}
	planThere  = statement{"plan_there", `SELECT FROM plans WHERE name = $1`}
	assignPlan = statement{"assign_plan", `UPDATE businesses SET plan = $2 WHERE id = $1`}
)

// PutPlan implements esh3ar.PlanStore.
func (s *Store) PutPlan(ctx context.Context, p esh3ar.Plan) error {
	_, err := s.exec(ctx, putPlan, p.Name, p.Rate, p.Burst, p.DailyQuota, p.Concurrent, int16(p.Level), int64(p.Retention), int64(p.UpdatedAt),
		p.InboxLimit, p.RecipientRate, p.RecipientBurst)
	if err != nil {
		return writeError("store plan", err)
	}
	return nil
}

// Plans implements esh3ar.PlanStore.
func (s *Store) Plans(ctx context.Context) ([]esh3ar.Plan, error) {
	var plans []esh3ar.Plan
	err := s.query(ctx, readPlans, func(rows pgx.Rows) error {
		p, err := scanPlan(rows)
		plans = append(plans, p)
		return err
	})
	if err != nil {
		return nil, readError("read plans", err)
	}
	return plans, nil
}

func scanPlan(rows pgx.Rows) (esh3ar.Plan, error) {
	var p esh3ar.Plan
	err := rows.Scan(&p.Name, &p.Rate, &p.Burst, &p.DailyQuota, &p.Concurrent, &p.Level, &p.Retention, &p.UpdatedAt,
		&p.InboxLimit, &p.RecipientRate, &p.RecipientBurst)
	return p, err
}

// DeletePlan implements esh3ar.PlanStore.
func (s *Store) DeletePlan(ctx context.Context, name string) error {
	tag, err := s.exec(ctx, dropPlan, name)
	if err != nil {
		return writeError("drop plan", err)
	}
	if tag.RowsAffected() > 0 {
		return nil
	}
	there := false
	if err := s.query(ctx, planThere, func(pgx.Rows) error { there = true; return nil }, name); err != nil {
		return readError("read plan", err)
	}
	if there {
		return esh3ar.Errorf(esh3ar.InUse, "a business has the plan %s", name)
	}
	return esh3ar.Errorf(esh3ar.NotFound, "no such plan")
}

// BusinessesWithPlan implements esh3ar.PlanStore.
func (s *Store) BusinessesWithPlan(ctx context.Context, plan string) ([]esh3ar.BusinessID, error) {
	var ids []esh3ar.BusinessID
	err := s.query(ctx, holders, func(rows pgx.Rows) error {
		ids = append(ids, esh3ar.BusinessID{})
		return rows.Scan((*[16]byte)(&ids[len(ids)-1].UUID))
	}, plan)
	if err != nil {
		return nil, readError("find businesses with the plan", err)
	}
	return ids, nil
}

// AssignPlan implements esh3ar.PlanStore.
func (s *Store) AssignPlan(ctx context.Context, business esh3ar.BusinessID, plan string) error {
	tag, err := s.exec(ctx, assignPlan, [16]byte(business.UUID), plan)
	if err != nil {
		return writeError("assign plan", err)
	}
	if tag.RowsAffected() == 0 {
		return noBusiness(business)
	}
	return nil
}
