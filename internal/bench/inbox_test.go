package bench

import (
	"testing"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// TestInbox_Completions_CountConfirmedMessages: a failed acknowledgement confirms nothing, and events without a completion are
// none.
func TestInbox_Completions_CountConfirmedMessages(t *testing.T) {
	t.Parallel()
	l := newLedger()
	b := inbox{ledger: l, asked: []int{2, 3, 5}}
	for _, tc := range []struct {
		event signalrclient.Event
		want  int64
	}{
		{signalrclient.Event{Live: true}, 0},
		{signalrclient.Event{Completion: "1"}, 2},
		{signalrclient.Event{Completion: "2", Error: "failed"}, 2},
		{signalrclient.Event{Completion: "3"}, 7},
		{signalrclient.Event{Completion: "4"}, 7},
	} {
		b.complete(&tc.event)
		if got := l.settled.Load(); got != tc.want {
			t.Errorf("after %+v: got %d confirmed, want %d", tc.event, got, tc.want)
		}
	}
}
