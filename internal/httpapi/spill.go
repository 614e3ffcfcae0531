package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// Spill reads the accepted calls on this node's disk that the store does not have yet.
type Spill interface {
	// Waiting reports whether the spill holds any call. It must not block.
	Waiting() bool
	// Report returns the content of the spill, with at most most quarantined calls, oldest first.
	Report(most int) (SpillReport, error)
	// Readmit queues the quarantined calls for the store again, behind the other calls, and returns their number.
	Readmit(ctx context.Context) (int, error)
}

// SpillReport describes the content of this node's spill.
type SpillReport struct {
	Calls            int               `json:"calls"`
	Messages         int               `json:"messages"`
	Recipients       int               `json:"recipients"`
	Bytes            int64             `json:"bytes"`                     // on disk, quarantine included
	OldestAcceptedAt esh3ar.Time       `json:"oldestAcceptedAt,omitzero"` // of the calls outside the quarantine; absent if there are none
	Quarantined      int               `json:"quarantined"`               // calls that the store refuses
	Quarantine       []QuarantinedCall `json:"quarantine"`                // the oldest of them
}

// QuarantinedCall is an accepted call that the store refuses, or whose record on disk is damaged.
type QuarantinedCall struct {
	At         esh3ar.Time        `json:"at"` // time of the quarantine
	Reason     string             `json:"reason"`
	BusinessID string             `json:"businessId,omitempty"`
	MessageIDs []esh3ar.MessageID `json:"messageIds,omitempty"`
	Damaged    bool               `json:"damaged,omitempty"` // its record cannot be decoded
	Bytes      int                `json:"bytes"`
}

// maxQuarantineShown bounds the quarantined calls that GET /admin/v1/spill lists.
const maxQuarantineShown = 100

// spill implements GET /admin/v1/spill.
func (a *API) spill(x *exchange) error {
	var err error
	var report SpillReport
	if a.Spill != nil {
		if report, err = a.Spill.Report(maxQuarantineShown); err != nil {
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

// readmit implements POST /admin/v1/spill/readmit.
func (a *API) readmit(x *exchange) error {
	var err error
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

// errNotYetStored is the answer for an id that the store does not know while this node's spill holds messages: not_found
// could be wrong, because the message may be one of them.
var errNotYetStored = &esh3ar.Error{
	Code: esh3ar.StoreUnavailable, Text: "accepted messages are not yet in the database, and this may be one of them",
}

// unknownMessage returns the error for a message that the store does not know.
func (a *API) unknownMessage(x *exchange) error {
	if a.Spill != nil && a.Spill.Waiting() {
		return errNotYetStored
	}
	return messageNotFound(x)
}
