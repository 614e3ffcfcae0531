package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var (
	// addUsage locks the rows in sorted order, so that nodes do not deadlock. The first entry of a new day deletes days past
	// retention.
	addUsage = statement{"add_usage", `WITH new AS (
			SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[]) AS u(business, day, messages, refused) ORDER BY business, day
		), added AS (
			INSERT INTO usage AS u (business, day, messages, refused) SELECT business, day, messages, refused FROM new
			ON CONFLICT (business, day) DO UPDATE SET messages = u.messages + excluded.messages, refused = u.refused + excluded.refused
			RETURNING business, day, messages, refused, xmax = 0 AS first
		), old AS (
			DELETE FROM usage u USING added a WHERE a.first AND u.business = a.business AND u.day <= a.day - $5::integer
		)
		SELECT business, day, messages, refused FROM added`}
	readUsage = statement{"usage", `SELECT day, messages, refused FROM usage WHERE business = $1 AND day BETWEEN $2 AND $3 ORDER BY day`}
)

// AddUsage implements esh3ar.UsageStore.
func (s *Store) AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error) {
	businesses, days := make([][16]byte, len(entries)), make([]int32, len(entries))
	messages, refused := make([]int64, len(entries)), make([]int64, len(entries))
	type dayKey struct {
		business esh3ar.BusinessID
		day      esh3ar.Day
	}
	indexes := make(map[dayKey]int, len(entries))
	for i, e := range entries {
		businesses[i] = [16]byte(e.Business.UUID)
		days[i] = int32(e.Day)
		messages[i] = e.Messages
		refused[i] = e.Refused
		indexes[dayKey{e.Business, e.Day}] = i
	}
	sums := make([]esh3ar.Usage, len(entries))
	err := withRetry(ctx, func(int) error {
		return s.query(ctx, addUsage, func(rows pgx.Rows) error {
			var u esh3ar.Usage
			if err := rows.Scan((*[16]byte)(&u.Business.UUID), &u.Day, &u.Messages, &u.Refused); err != nil {
				return err
			}
			sums[indexes[dayKey{u.Business, u.Day}]] = u
			return nil
		}, businesses, days, messages, refused, esh3ar.UsageDays)
	})
	if err != nil {
		return nil, writeError("add usage", err)
	}
	return sums, nil
}

// Usage implements esh3ar.UsageStore.
func (s *Store) Usage(ctx context.Context, business esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error) {
	var days []esh3ar.Usage
	err := s.query(ctx, readUsage, func(rows pgx.Rows) error {
		days = append(days, esh3ar.Usage{Business: business})
		u := &days[len(days)-1]
		return rows.Scan(&u.Day, &u.Messages, &u.Refused)
	}, [16]byte(business.UUID), int32(first), int32(last))
	if err != nil {
		return nil, readError("read usage", err)
	}
	return days, nil
}
