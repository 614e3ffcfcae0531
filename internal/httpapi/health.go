package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// livez says that the process runs.
func (a *API) livez(x *exchange) error {
	return x.answer(http.StatusOK, []byte(`{"status":"ok"}`))
}

// readyz says whether this node wants calls.
func (a *API) readyz(x *exchange) error {
	if err := a.Ready(); err != nil {
		if k, ok := kinds[esh3ar.CodeOf(err)]; ok && k.status == http.StatusServiceUnavailable {
			return k.problem(err.Error())
		}
		return overloaded.problem(err.Error())
	}
	return x.answer(http.StatusOK, []byte(`{"status":"ready"}`))
}

func (a *API) metrics(x *exchange) error {
	x.status = http.StatusOK
	a.Metrics.ServeHTTP(x.w, x.r)
	return nil
}
