package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// Scaler tells how the cluster scales itself. Lease and diary are in the store that the nodes share, so any of them can tell.
type Scaler interface {
	// Now tells who decides, and what was decided last.
	Now(ctx context.Context) (ScalerNow, error)
	// Diary gives entries with a number below before (0: all), the newest first.
	Diary(ctx context.Context, before int64, limit int) ([]ScalerEntry, error)
}

// ScalerNow is how scaling stands.
type ScalerNow struct {
	Holder   string       `json:"holder,omitempty"`   // who decides; empty: nobody
	Here     bool         `json:"here"`               // it is this node
	Fault    string       `json:"fault,omitempty"`    // why the scaler of this node decides nothing, or cannot have it done
	Decision *ScalerEntry `json:"decision,omitempty"` // the newest that this node knows of; nil: none yet
}

// ScalerEntry is a decision, or a line of the diary.
type ScalerEntry struct {
	Number int64       `json:"number,omitempty"` // in the diary; 0: it is not in it
	At     esh3ar.Time `json:"at"`
	By     string      `json:"by"`   // who decided
	From   int         `json:"from"` // nodes
	To     int         `json:"to"`
	Reason string      `json:"reason"`
	Why    string      `json:"why"`              // for people
	DryRun bool        `json:"dryRun,omitempty"` // of a scaler that does nothing
}

// scalerView is how scaling stands, with a page of the diary.
type scalerView struct {
	ScalerNow
	Current    int           `json:"current"`          // nodes that take calls
	Wanted     int           `json:"wanted,omitempty"` // nodes that there should be; 0: nobody has said yet
	Items      []ScalerEntry `json:"items"`
	NextBefore int64         `json:"nextBefore,omitempty"` // asks for the next page; 0: this is the last
}

// scaler is GET /admin/v1/scaler.
func (a *API) scaler(x *exchange) (err error) {
	before, limit, err := diaryQuery(x.r.URL.RawQuery)
	switch {
	case err != nil:
		return err
	case a.Scaler == nil:
		return notSupported.problem("this node has a store of its own; nodes scale where they share a PostgreSQL")
	}
	view := scalerView{Items: []ScalerEntry{}}
	if view.ScalerNow, err = a.Scaler.Now(x.r.Context()); err != nil {
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
	if err := view.read(x.r.Context(), a.Scaler, before, limit); err != nil {
		return err
	}
	return x.answerJSON(http.StatusOK, &view)
}

// read adds a page; one entry more than it holds tells whether there is another.
func (v *scalerView) read(ctx context.Context, s Scaler, before int64, limit int) error {
	entries, err := s.Diary(ctx, before, limit+1)
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

func diaryQuery(raw string) (before int64, limit int, err error) {
	limit = defaultLimit
	err = parameters(raw, func(name, value string) string {
		switch name {
		case "limit":
			return limitFilter(&limit, value)
		case "before":
			return numberFilter(&before, value)
		default:
			return unknownParameter
		}
	})
	return before, limit, err
}

func numberFilter(into *int64, value string) (why string) {
	n, err := strconv.ParseInt(value, 10, 64)
	if *into = n; err != nil || n < 1 {
		return "must be the number of an entry, 1 or more"
	}
	return ""
}
