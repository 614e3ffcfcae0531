package wire_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// TestAppendEvent_MatchesEncodingJSON compares with what encoding/json writes for an event.
func TestAppendEvent_MatchesEncodingJSON(t *testing.T) {
	t.Parallel()
	id := esh3ar.NewMessageID()
	for _, e := range []esh3ar.Event{
		{ID: esh3ar.EventIDOf(id, 1, 5), Message: id, Business: esh3ar.NewBusinessID(), Version: 1, Life: 1, Status: esh3ar.Scheduled, At: 5, Recipient: 967771234567},
		{
			ID: esh3ar.EventIDOf(id, 7, 9), Message: id, Version: 7, Life: 2, Status: esh3ar.Failed, At: 1_700_000_000_001, Recipient: 1, Attempt: 5,
			CorrelationID: "a\"<b>", Metadata: map[string]string{"k": "v\u2028", "a": "\n"}, Reason: esh3ar.ReasonAttemptsSpent,
		},
	} {
		golden, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(wire.AppendEvent(nil, &e), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(golden, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %s\nwant %s", wire.AppendEvent(nil, &e), golden)
		}
	}
}
