package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// livez implements GET /livez: the process runs.
func (a *API) livez(x *exchange) error {
	return x.answer(http.StatusOK, []byte(`{"status":"ok"}`))
}

// readyz implements GET /readyz: whether this node accepts calls.
func (a *API) readyz(x *exchange) error {
	if err := a.Ready(); err != nil {
		if k, ok := kinds[esh3ar.CodeOf(err)]; ok && k.status == http.StatusServiceUnavailable {
			return k.problem(err.Error())
		}
		return overloaded.problem(err.Error())
	}
	return x.answer(http.StatusOK, []byte(`{"status":"ready"}`))
}

// metrics implements GET /metrics.
func (a *API) metrics(x *exchange) error {
	w := &statusWriter{ResponseWriter: x.w}
	x.status = http.StatusOK // stays if the handler panics: part of the response may have been sent
	a.Metrics.ServeHTTP(w, x.r)
	if w.status != 0 {
		x.status = w.status
	}
	return nil
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
