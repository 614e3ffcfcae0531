package torture

import (
	"context"
	"time"
)

// clock returns the times of the ledger: nanoseconds since 1970 that never decrease, even if the system clock is set
// back.
type clock struct{ began time.Time }

func (c clock) now() int64 { return c.began.UnixNano() + int64(time.Since(c.began)) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// between returns a random duration from least to most, both included.
func between(random interface{ Int64N(n int64) int64 }, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}
