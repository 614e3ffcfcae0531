package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// drainNode implements POST /admin/v1/nodes/{id}/drain. It answers once the node has accepted the request, before it has
// drained.
func (a *API) drainNode(x *exchange) error { return a.setDrain(x, true) }

// undrainNode implements DELETE /admin/v1/nodes/{id}/drain.
func (a *API) undrainNode(x *exchange) error { return a.setDrain(x, false) }

func (a *API) setDrain(x *exchange, drain bool) error {
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
