package ratelimit

import "github.com/esh3artech/esh3ar"

// NewSmallRecipients returns Recipients with a table of n pairs; n is a power of two.
func NewSmallRecipients(store esh3ar.WaitingCounter, n int) *Recipients {
	r := NewRecipients(store, nil)
	r.slots = make([]recipientSlot, n)
	return r
}
