package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// Node is a node of the cluster, as it last said of itself.
type Node struct {
	ID          string      `json:"id"`
	URL         string      `json:"url"` // how clients reach it
	Version     string      `json:"version"`
	StartedAt   esh3ar.Time `json:"startedAt"`
	SeenAt      esh3ar.Time `json:"seenAt"` // when it said so
	Draining    bool        `json:"draining"`
	Connections int         `json:"connections"` // of phones
	Waiting     int         `json:"waiting"`     // messages that are not stored yet
	Spilled     int         `json:"spilled"`     // messages on its own disk
	Load        float64     `json:"load"`        // share of its capacity in use, by its fullest part
	Parts       flow.Load   `json:"loadParts"`
}

// nodes is GET /admin/v1/nodes.
func (a *API) nodes(x *exchange) error {
	list := a.Nodes()
	if list == nil {
		list = []Node{}
	}
	return x.answerJSON(http.StatusOK, struct {
		Items []Node `json:"items"`
	}{list})
}
