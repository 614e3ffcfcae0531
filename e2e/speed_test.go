package e2e

import (
	"slices"
	"testing"
	"time"
)

// TestDelivery_PhoneOnline_NeedsNoSweep sends messages one at a time and waits for each. Hints must carry them: if they did
// not, the sweep would, seconds later, and every other test would still pass. Both bounds are ratios within this run: the share
// of messages that the sweep found, and the way to the phone compared with the durable call itself.
func TestDelivery_PhoneOnline_NeedsNoSweep(t *testing.T) {
	t.Parallel()
	const messages = 60
	p := start(t)
	ph := newPhone(p, alice, "a", "each")
	var calls, deliveries []time.Duration
	for i := range messages {
		began := time.Now()
		p.send(alice, "now", "normal")
		answered := time.Now()
		ph.await(i + 1)
		calls, deliveries = append(calls, answered.Sub(began)), append(deliveries, time.Since(answered))
	}
	if got := p.metric("esh3ar_delivery_swept_total"); got > messages/4 {
		t.Errorf("the sweep found %v of %d messages, want hints to carry them", got, messages)
	}
	slices.Sort(calls)
	slices.Sort(deliveries)
	// Half of the deliveries, so that a pause of the machine does not decide; the phone is a process of its own, whose turn
	// comes after the node's, hence the factor and the constant.
	call, delivery := calls[messages/2], deliveries[messages/2]
	if most := 20*call + 100*time.Millisecond; delivery > most {
		t.Errorf("half of the messages took more than %s from the answer to the phone, want at most %s where a call takes %s", delivery, most, call)
	}
}
