package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// drainNode is POST /admin/v1/nodes/{id}/drain. The answer says that the node was told.
func (a *API) drainNode(x *exchange) error { return a.tellNode(x, true) }

// undrainNode is DELETE /admin/v1/nodes/{id}/drain.
func (a *API) undrainNode(x *exchange) error { return a.tellNode(x, false) }

func (a *API) tellNode(x *exchange, drain bool) error {
	id := x.params[0]
	if err := a.Drain(x.r.Context(), id, x.r.Header.Get("Authorization"), drain); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return notFound.problem("no node " + id)
		}
		return err
	}
	return x.answerJSON(http.StatusAccepted, struct {
		ID       string `json:"id"`
		Draining bool   `json:"draining"`
	}{id, drain})
}
