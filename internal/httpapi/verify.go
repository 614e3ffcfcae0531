package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
)

// maxFindings bounds the findings in one answer. The survey counts all of them.
const maxFindings = 1000

// verification is the result of a verification of the store.
type verification struct {
	Survey     esh3ar.VerifyReport `json:"survey"`
	Findings   []esh3ar.Finding    `json:"findings"`
	Truncated  bool                `json:"truncated,omitempty"`
	Unrepaired int                 `json:"unmended"` // findings that were not repaired, including those beyond maxFindings
}

// add records a finding.
func (v *verification) add(f esh3ar.Finding) {
	if f.Action == esh3ar.Reported {
		v.Unrepaired++
	}
	if len(v.Findings) == maxFindings {
		v.Truncated = true
		return
	}
	v.Findings = append(v.Findings, f)
}

// verify implements POST /admin/v1/verify. It scans the whole store, so only one verification runs at a time.
func (a *API) verify(x *exchange) error {
	repair := false
	err := x.readObject(member{name: "repair", read: func(in *input, at jsonPath) (err error) {
		repair, _, err = in.boolean(at)
		return err
	}})
	switch {
	case err != nil:
		return err
	case a.Verifier == nil:
		return notSupported.problem("the store of this node cannot be verified")
	case !a.verifying.CompareAndSwap(false, true):
		return alreadyRunning.problem("a verification is running; wait until it has ended")
	}
	defer a.verifying.Store(false)
	// The server's read deadline continues while the handler runs, and a verification may take longer.
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Time{})
	v := verification{Findings: []esh3ar.Finding{}}
	if v.Survey, err = a.Verifier.Verify(x.r.Context(), repair, v.add); err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, body)
}
