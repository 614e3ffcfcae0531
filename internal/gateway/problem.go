package gateway

import (
	"encoding/json"
	"net/http"
)

// problem is an error response of the gateway itself (RFC 9457), in the same form as those of nodes.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`

	RequestID string `json:"requestId"`
}

// kind is the fixed part of a problem.
type kind struct {
	status      int
	code, title string
}

// All kinds of problems.
var (
	badRequest       = kind{400, "invalid_request", "The request cannot be forwarded"}
	forbidden        = kind{403, "forbidden", "This is not allowed here"}
	notFound         = kind{404, "not_found", "Not found"}
	methodNotAllowed = kind{405, "method_not_allowed", "This method is not forwarded"}
	requestTimeout   = kind{408, "request_timeout", "The body arrived too slowly"}
	bodyTooLarge     = kind{413, "body_too_large", "The body is too large"}
	unreadable       = kind{400, "invalid_json", "The body could not be read"}
	notSupported     = kind{422, "not_supported", "This is not supported here"}
	outcomeUnknown   = kind{502, "outcome_unknown", "It is not known whether the call was stored"}
	overloaded       = kind{503, "overloaded", "The system is overloaded"}
)

// answerProblem answers with a problem. It discards headers of a node's response.
func (x *exchange) answerProblem(k kind, detail string) {
	h := x.w.Header()
	clear(h)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch k.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body may still arrive
	}
	body, err := json.Marshal(problem{"/docs#" + k.code, k.title, k.status, k.code, detail, x.requestID[0]})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	x.head(k.status)
	_, _ = x.w.Write(body) // the client may have disconnected
}
