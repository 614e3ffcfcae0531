package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// Node is a node of the cluster as it last reported itself.
type Node struct {
	ID          string      `json:"id"`
	URL         string      `json:"url"` // address for clients
	Version     string      `json:"version"`
	StartedAt   esh3ar.Time `json:"startedAt"`
	SeenAt      esh3ar.Time `json:"seenAt"` // time of the report
	Draining    bool        `json:"draining"`
	Connections int         `json:"connections"` // connected phones
	Waiting     int         `json:"waiting"`     // messages queued for the store
	Spilled     int         `json:"spilled"`     // messages in its spill
	Load        float64     `json:"load"`        // used share of its capacity: the highest of Parts
	Parts       flow.Load   `json:"loadParts"`
}

// nodes implements GET /admin/v1/nodes.
func (a *API) nodes(x *exchange) error {
	list := a.Nodes()
	if list == nil {
		list = []Node{}
	}
	return x.answerJSON(http.StatusOK, struct {
		Items []Node `json:"items"`
	}{list})
}
