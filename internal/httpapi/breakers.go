package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// BreakerReport lists the circuit breakers of this node.
type BreakerReport struct {
	Dependencies []DependencyBreaker `json:"dependencies"`
	Devices      []DeviceBreaker     `json:"devices"`     // breakers that are not closed; the reporter may truncate the list
	DevicesOpen  int                 `json:"devicesOpen"` // number of device breakers that are not closed, beyond the list too
}

// DependencyBreaker is the breaker of an external dependency, such as the database.
type DependencyBreaker struct {
	Name     string      `json:"name"`
	State    string      `json:"state"` // closed, open or half_open
	Since    esh3ar.Time `json:"since"`
	Failures int         `json:"failures"` // consecutive failures
}

// DeviceBreaker is the breaker of one device of a phone.
type DeviceBreaker struct {
	Recipient esh3ar.Recipient `json:"recipientPhoneNumber"`
	Device    string           `json:"deviceId"`
	State     string           `json:"state"` // open or half_open
	Failures  int              `json:"failures"`
	Until     esh3ar.Time      `json:"until,omitzero"` // end of the open state, after which one push is tried; zero if half open
}

// breakers implements GET /admin/v1/breakers.
func (a *API) breakers(x *exchange) error {
	report := a.Breakers()
	if report.Dependencies == nil {
		report.Dependencies = []DependencyBreaker{}
	}
	if report.Devices == nil {
		report.Devices = []DeviceBreaker{}
	}
	body, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, body)
}
