package httpapi

import "net/http"

// livez says that the process runs.
func (a *API) livez(x *exchange) error {
	return x.answer(http.StatusOK, []byte(`{"status":"ok"}`))
}

// readyz says whether this node wants calls.
func (a *API) readyz(x *exchange) error {
	if err := a.Ready(); err != nil {
		return overloaded.problem(err.Error())
	}
	return x.answer(http.StatusOK, []byte(`{"status":"ready"}`))
}

func (a *API) metrics(x *exchange) error {
	x.status = http.StatusOK
	a.Metrics.ServeHTTP(x.w, x.r)
	return nil
}
