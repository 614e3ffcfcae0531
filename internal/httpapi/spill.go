package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// Spill is what this node has accepted and the store does not know yet.
type Spill interface {
	// Waiting tells whether there is anything; it must be quick.
	Waiting() bool
	// Report tells what there is, with at most so many calls of the quarantine, oldest first.
	Report(most int) (SpillReport, error)
	// Readmit sends the calls in quarantine to the store once more, behind what waits, and tells how many there were.
	Readmit(ctx context.Context) (int, error)
}

// SpillReport says what waits on this node's disk for the store.
type SpillReport struct {
	Calls            int               `json:"calls"`
	Messages         int               `json:"messages"`
	Recipients       int               `json:"recipients"`
	Bytes            int64             `json:"bytes"`                     // on disk, the quarantine too
	OldestAcceptedAt esh3ar.Time       `json:"oldestAcceptedAt,omitzero"` // of what waits
	Quarantined      int               `json:"quarantined"`               // calls that the store will not take
	Quarantine       []QuarantinedCall `json:"quarantine"`                // the first of them
}

// QuarantinedCall is an accepted call that the store will not take, or whose row is damaged.
type QuarantinedCall struct {
	At         esh3ar.Time        `json:"at"` // when it got there
	Reason     string             `json:"reason"`
	BusinessID string             `json:"businessId,omitempty"`
	MessageIDs []esh3ar.MessageID `json:"messageIds,omitempty"`
	Damaged    bool               `json:"damaged,omitempty"` // it cannot be read
	Bytes      int                `json:"bytes"`
}

// shownQuarantine bounds what GET /admin/v1/spill lists.
const shownQuarantine = 100

// spill is GET /admin/v1/spill.
func (a *API) spill(x *exchange) (err error) {
	var report SpillReport
	if a.Spill != nil {
		if report, err = a.Spill.Report(shownQuarantine); err != nil {
			return err
		}
	}
	if report.Quarantine == nil {
		report.Quarantine = []QuarantinedCall{}
	}
	body, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, body)
}

// readmit is POST /admin/v1/spill/readmit.
func (a *API) readmit(x *exchange) (err error) {
	var readmitted int
	if a.Spill != nil {
		if readmitted, err = a.Spill.Readmit(x.r.Context()); err != nil {
			return err
		}
	}
	body, err := json.Marshal(struct {
		Readmitted int `json:"readmitted"`
	}{readmitted})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, body)
}

// errMayWait answers for an id that the store does not know while this node has messages that it does not know either:
// "there is no such thing" could be untrue.
var errMayWait = &esh3ar.Error{
	Code: esh3ar.StoreUnavailable, Text: "accepted messages are still on their way to the database, and this may be one of them",
}

// unknown is the answer for a message that the store does not know.
func (a *API) unknown(x *exchange) error {
	if a.Spill != nil && a.Spill.Waiting() {
		return errMayWait
	}
	return noMessage(x)
}
