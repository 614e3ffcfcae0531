package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// Scaler reads the state of autoscaling. Lease and decisions are in the shared store, so every node can read them.
type Scaler interface {
	// Status returns the holder of the lease and the latest decision.
	Status(ctx context.Context) (ScalerStatus, error)
	// Decisions returns up to limit recorded decisions with a number below before, newest first. Zero for before: from the
	// newest.
	Decisions(ctx context.Context, before int64, limit int) ([]ScalerDecision, error)
}

// ScalerStatus is the state of autoscaling.
type ScalerStatus struct {
	Holder   string          `json:"holder,omitempty"`   // scaler that holds the lease; empty if none does
	Here     bool            `json:"here"`               // this node holds the lease
	Fault    string          `json:"fault,omitempty"`    // why the scaler of this node cannot decide or act; empty if it can
	Decision *ScalerDecision `json:"decision,omitempty"` // latest decision; nil if there is none yet
}

// ScalerDecision is one decision of a scaler.
type ScalerDecision struct {
	Number int64       `json:"number,omitempty"` // number in the record of decisions; zero if it is not recorded
	At     esh3ar.Time `json:"at"`
	By     string      `json:"by"`   // scaler that decided
	From   int         `json:"from"` // number of nodes before
	To     int         `json:"to"`   // wanted number of nodes
	Reason string      `json:"reason"`
	Why    string      `json:"why"`              // explanation for people
	DryRun bool        `json:"dryRun,omitempty"` // the scaler only records its decisions
}

// scalerView is the answer of GET /admin/v1/scaler: the status with a page of decisions.
type scalerView struct {
	ScalerStatus
	Current    int              `json:"current"`          // nodes that accept calls
	Wanted     int              `json:"wanted,omitempty"` // nodes that there should be; zero before the first decision
	Items      []ScalerDecision `json:"items"`
	NextBefore int64            `json:"nextBefore,omitempty"` // value of before for the next page; zero on the last page
}

// scaler implements GET /admin/v1/scaler.
func (a *API) scaler(x *exchange) error {
	before, limit, err := decisionsQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if a.Scaler == nil {
		return notSupported.problem("this node uses an embedded store; autoscaling needs a shared PostgreSQL")
	}
	view := scalerView{Items: []ScalerDecision{}}
	if view.ScalerStatus, err = a.Scaler.Status(x.r.Context()); err != nil {
		return err
	}
	if view.Decision != nil {
		view.Wanted = view.Decision.To
	}
	for _, n := range a.Nodes() {
		if !n.Draining {
			view.Current++
		}
	}
	if err := view.addPage(x.r.Context(), a.Scaler, before, limit); err != nil {
		return err
	}
	return x.answerJSON(http.StatusOK, &view)
}

// addPage reads a page of decisions. It reads one more than limit, to know whether there is another page.
func (v *scalerView) addPage(ctx context.Context, s Scaler, before int64, limit int) error {
	entries, err := s.Decisions(ctx, before, limit+1)
	if err != nil {
		return err
	}
	if len(entries) > limit {
		entries = entries[:limit]
		v.NextBefore = entries[limit-1].Number
	}
	v.Items = append(v.Items, entries...)
	return nil
}

func decisionsQuery(raw string) (before int64, limit int, err error) {
	limit = defaultLimit
	err = parseParameters(raw, func(name, value string) string {
		switch name {
		case "limit":
			return limitFilter(&limit, value)
		case "before":
			return entryFilter(&before, value)
		default:
			return unknownParameter
		}
	})
	return before, limit, err
}

func entryFilter(into *int64, value string) (why string) {
	n, err := strconv.ParseInt(value, 10, 64)
	*into = n
	if err != nil || n < 1 {
		return "must be the number of a decision, 1 or more"
	}
	return ""
}
