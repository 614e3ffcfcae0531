package httpapi

import "github.com/esh3artech/esh3ar"

// cancelMessage implements DELETE /v1/messages/{id}.
func (a *API) cancelMessage(x *exchange) error {
	record, err := a.ownMessage(x)
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
		return messageNotFound(x)
	case result.Progress.Status != esh3ar.Canceled:
		return notCancelable.problem("the message is already " + result.Progress.Status.String())
	case result.Applied:
		a.OnCanceled(record.Recipient, record.ID, result.Progress.Life)
	}
	record.Progress = result.Progress
	return x.answerRecord(&record)
}
