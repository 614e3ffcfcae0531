package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// Rehearsal is the lease and the diary of a dry run. It keeps nobody from the lease, for it changes nothing: what it would do is
// in the diary, beside what is done, and nowhere else.
type Rehearsal struct{ scaling *Scaling }

var (
	_ autoscale.Lease   = (*Rehearsal)(nil)
	_ autoscale.History = (*Rehearsal)(nil)
)

// Rehearsal may be had by any number at once.
func (s *Scaling) Rehearsal() *Rehearsal { return &Rehearsal{s} }

var rehearseScaling = statement{"rehearse_scaling", `WITH trimmed AS (DELETE FROM scaling_diary WHERE number <= (SELECT max(number) FROM scaling_diary) - $2::bigint)
	INSERT INTO scaling_diary (entry) VALUES ($1::jsonb)`}

// Acquire realises scale.Lease: there is always one to be had.
func (*Rehearsal) Acquire(_ context.Context, holder string, _ time.Duration) (autoscale.Term, error) {
	return autoscale.Term{Leader: true, Holder: holder}, nil
}

// Release realises scale.Lease.
func (*Rehearsal) Release(context.Context, autoscale.Term) error { return nil }

// Guard realises scale.Lease: a dry run has no effects.
func (*Rehearsal) Guard(context.Context, autoscale.Term, func(context.Context) error) error {
	return autoscale.ErrFenced
}

// Load realises scale.Diary: what another has done is not this one's.
func (*Rehearsal) Load(context.Context) ([]byte, error) { return nil, nil }

// Write realises scale.Diary, without the state.
func (r *Rehearsal) Write(ctx context.Context, _ autoscale.Term, e *autoscale.Entry, _ []byte) error {
	entry, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.scaling.store.exec(ctx, rehearseScaling, entry, int64(diaryKept))
	return err
}

// History realises scale.Diary.
func (r *Rehearsal) History(ctx context.Context, before int64, limit int) ([]autoscale.Entry, error) {
	return r.scaling.History(ctx, before, limit)
}
