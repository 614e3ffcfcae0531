package embedded

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
)

// TestLowWaterMarks_ReadOfOlderView_DoesNotHideLaterMessages reads a view that is older than the newest messages. The marks
// that this read sets must not hide the newer messages, neither in an empty lane nor in one whose last message the view
// contains.
func TestLowWaterMarks_ReadOfOlderView_DoesNotHideLaterMessages(t *testing.T) {
	s, err := Open("data", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const recipient = esh3ar.Recipient(967770000001)
	business := esh3ar.NewBusinessID()
	send := func(lanes ...esh3ar.Priority) {
		t.Helper()
		for _, lane := range lanes {
			m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, Recipient: recipient, Priority: lane, Content: "x"}
			if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(esh3ar.Normal)
	older, err := s.acquireView()
	if err != nil {
		t.Fatal(err)
	}
	defer older.release()
	send(esh3ar.Urgent, esh3ar.Normal, esh3ar.Low)
	q := esh3ar.InboxQuery{Recipient: recipient, Limit: 10, Bytes: 1 << 20}
	for range 2 {
		page, err := s.pending(older, q)
		if err != nil || len(page.Records) != 1 || page.Counter != 1 {
			t.Fatalf("older view: got %d records, counter %d, %v; want 1, 1", len(page.Records), page.Counter, err)
		}
		page, err = s.Pending(t.Context(), q)
		if err != nil || len(page.Records) != 4 {
			t.Fatalf("latest view: got %d records, %v; want 4", len(page.Records), err)
		}
	}
}
