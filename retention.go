package esh3ar

import "context"

// RetentionStore deletes data after its retention. Each call is one bounded step, so that it does not delay other work.
type RetentionStore interface {
	// Purge deletes at most limit messages that reached a final status before their cutoff, with all that belongs to them. It walks from
	// next, which is empty for a new walk and else what the previous call returned as following; following is empty at the end of the
	// walk. Messages without a final status stay, however old they are.
	Purge(ctx context.Context, cutoffs RetentionCutoffs, next string, limit int) (purged int, following string, err error)
	// TrimEvents deletes events from before a time, oldest first, up to the first that is younger. more reports whether there are further
	// ones.
	TrimEvents(ctx context.Context, before Time) (more bool, err error)
	// DeleteExpiredKeys deletes idempotency keys that expired before a time. Those of the last day may stay longer.
	DeleteExpiredKeys(ctx context.Context, expiredBefore Time) error
}

// RetentionCutoffs are the times before which messages must have ended to be deleted.
type RetentionCutoffs struct {
	Default    Time                // for businesses that are not in ByBusiness
	ByBusiness map[BusinessID]Time // for these businesses
}

// For returns the cutoff of a business.
func (c *RetentionCutoffs) For(b BusinessID) Time {
	if t, ok := c.ByBusiness[b]; ok {
		return t
	}
	return c.Default
}

// Latest returns the latest cutoff: a message that ended after it stays, whatever its business.
func (c *RetentionCutoffs) Latest() Time {
	latest := c.Default
	for _, t := range c.ByBusiness {
		latest = max(latest, t)
	}
	return latest
}
