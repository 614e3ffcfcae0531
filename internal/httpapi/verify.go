package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
)

// maxFindings bounds the answer to a verification; the survey counts them all.
const maxFindings = 1000

// verification is what a walk over the store found.
type verification struct {
	Survey    esh3ar.Survey    `json:"survey"`
	Findings  []esh3ar.Finding `json:"findings"`
	Truncated bool             `json:"truncated,omitempty"`
	Unmended  int              `json:"unmended"` // findings that stay as they are, also those beyond the bound
}

func (v *verification) add(f esh3ar.Finding) {
	if f.Action == esh3ar.Reported {
		v.Unmended++
	}
	if len(v.Findings) == maxFindings {
		v.Truncated = true
		return
	}
	v.Findings = append(v.Findings, f)
}

// verify is POST /admin/v1/verify. It walks the whole store, so only one runs at a time.
func (a *API) verify(x *exchange) error {
	repair := false
	err := x.readObject(member{name: "repair", read: func(in *input, at place) (err error) {
		repair, _, err = in.boolean(at)
		return err
	}})
	switch {
	case err != nil:
		return err
	case a.Verifier == nil:
		return notSupported.problem("the store of this node cannot be verified")
	case !a.verifying.CompareAndSwap(false, true):
		return alreadyRunning.problem("a verification is under way; wait until it has ended")
	}
	defer a.verifying.Store(false)
	// The server's deadline for reading goes on while a handler works; a walk may take longer.
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
