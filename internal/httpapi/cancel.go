package httpapi

import "github.com/esh3artech/esh3ar"

// cancel is DELETE /v1/messages/{id}.
func (a *API) cancel(x *exchange) error {
	record, err := a.own(x)
	if err != nil {
		return err
	}
	results, err := a.Store.Settle(x.r.Context(), []esh3ar.Change{{
		Message: record.ID, Business: x.caller.Business, To: esh3ar.Canceled, Below: esh3ar.Sent, At: esh3ar.TimeOf(a.Now()),
	}})
	if err != nil {
		return err
	}
	result := &results[0]
	switch {
	case !result.Found:
		return noMessage(x)
	case result.Progress.Status != esh3ar.Canceled:
		return notCancelable.problem("the message is " + result.Progress.Status.String() + " already")
	case result.Applied:
		a.Lapsed(record.Recipient, record.ID, result.Progress.Life)
	}
	record.Progress = result.Progress
	return x.answerRecord(&record)
}
