package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
)

// BreakerReport says which circuit breakers hold something back.
type BreakerReport struct {
	Dependencies []DependencyBreaker `json:"dependencies"`
	Devices      []DeviceBreaker     `json:"devices"`     // those not closed, at most as many as the reporter likes
	DevicesOpen  int                 `json:"devicesOpen"` // how many there are in all
}

// DependencyBreaker is the breaker of something outside this process.
type DependencyBreaker struct {
	Name     string      `json:"name"`
	State    string      `json:"state"` // closed, open or half_open
	Since    esh3ar.Time `json:"since"`
	Failures int         `json:"failures"` // in a row
}

// DeviceBreaker is the breaker of one phone.
type DeviceBreaker struct {
	Recipient esh3ar.Recipient `json:"recipientPhoneNumber"`
	Device    string           `json:"deviceId"`
	State     string           `json:"state"` // open or half_open
	Failures  int              `json:"failures"`
	Until     esh3ar.Time      `json:"until,omitzero"` // when an open one is tried again
}

// breakers is GET /admin/v1/breakers.
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
