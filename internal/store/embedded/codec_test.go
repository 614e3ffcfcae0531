package embedded

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// FuzzDecode feeds rows to every decoder. No decoder may panic or allocate more than the row justifies.
func FuzzDecode(f *testing.F) {
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Recipient: 1, Content: "x", Metadata: map[string]string{"a": "b"}}
	f.Add(appendBody(nil, m, 1))
	m.TTL = time.Minute
	m.SendAt = 7
	f.Add(appendBody(nil, m, 0))
	done := lifecycle.First(m.ID, false)
	done.List = append(done.List, lifecycle.Step{Life: 1, Status: esh3ar.Failed, At: 5, Reason: "r"})
	f.Add(done.Append(nil))
	event := eventRow{id: m.ID, version: 1, Step: done.List[1]}
	f.Add(event.append(nil))
	idem := idemRow{receipts: []esh3ar.Receipt{{ID: m.ID, CorrelationID: "c"}}}
	f.Add(idem.append(nil))
	f.Add(location{recipient: 1}.append(nil))
	f.Fuzz(func(_ *testing.T, row []byte) {
		_, _ = decodeBody(row, 1, 1)
		_, _ = decodeBody(row, 0, 0)
		_, _ = decodeBodyFormat1(row, 1, 1)
		_, _ = decodeBodyFormat1(row, 0, 0)
		_ = decodeTaskRow(row, &esh3ar.Task{})
		if s, err := decodeSteps(row, m.ID, true); err == nil {
			_ = s.Progress(0)
		}
		_, _ = decodeEvent(row)
		_, _ = decodeIdem(row)
		_, _ = decodeLocation(row)
	})
}
