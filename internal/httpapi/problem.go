package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
)

// problem is an error response (RFC 9457). Its code is stable; title and detail are for people.
type problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Code   string  `json:"code"`
	Detail string  `json:"detail,omitempty"`
	Errors []fault `json:"errors,omitempty"`

	RequestID string `json:"requestId,omitempty"` // X-Request-Id of the response

	retryAfter time.Duration // value of Retry-After; zero: one second
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// kind is the fixed part of a problem: one for each code.
type kind struct {
	status int
	code   string
	title  string
	hint   string // detail if the error has no text for callers
}

// All kinds of problems.
var (
	invalidJSON      = kind{status: 400, code: "invalid_json", title: "The body is not valid JSON"}
	unauthenticated  = kind{status: 401, code: "unauthenticated", title: "Authentication is required"}
	forbidden        = kind{status: 403, code: "forbidden", title: "This credential may not do that"}
	notFound         = kind{status: 404, code: "not_found", title: "Not found"}
	methodNotAllowed = kind{status: 405, code: "method_not_allowed", title: "This path does not support this method"}
	requestTimeout   = kind{status: 408, code: "request_timeout", title: "The body arrived too slowly"}
	notCancelable    = kind{status: 409, code: "not_cancelable", title: "The message cannot be canceled any more"}
	planInUse        = kind{status: 409, code: "plan_in_use", title: "The plan is in use", hint: "assign another plan to its businesses first"}
	credentialInUse  = kind{status: 409, code: "credential_in_use", title: "The credential is in use"}
	alreadyRunning   = kind{status: 409, code: "already_running", title: "This operation is already running", hint: "wait until it has ended"}
	bodyTooLarge     = kind{status: 413, code: "body_too_large", title: "The body is too large"}
	unsupportedMedia = kind{status: 415, code: "unsupported_media_type", title: "The body must be application/json"}
	validationFailed = kind{status: 422, code: "validation_failed", title: "The request is not valid"}
	invalidCharacter = kind{status: 422, code: "invalid_character", title: "A string contains a character that cannot be stored"}
	mismatch         = kind{status: 422, code: "idempotency_mismatch", title: "The idempotency key was used for another call"}
	notSupported     = kind{status: 422, code: "not_supported", title: "This is not supported here"}
	recipientRate    = kind{status: 429, code: "recipient_rate_limited", title: "Too many messages for one recipient"}
	inboxFull        = kind{status: 429, code: "inbox_full", title: "Too many messages wait for one recipient"}
	rateLimited      = kind{status: 429, code: "rate_limited", title: "Too many calls", hint: "send fewer calls in a second"}
	internal         = kind{status: 500, code: "internal", title: "Internal error", hint: "the error is in the log of this node"}
	outcomeUnknown   = kind{status: 502, code: "outcome_unknown", title: "It is not known whether the call was stored", hint: "send it again with the same idempotency key"}
	overloaded       = kind{status: 503, code: "overloaded", title: "The system is overloaded", hint: "this call stored nothing; try again later"}
	storeUnavailable = kind{status: 503, code: "store_unavailable", title: "The store cannot answer", hint: "this call stored nothing; try again later"}
	storageFull      = kind{status: 503, code: "storage_full", title: "The disk is nearly full", hint: "this call stored nothing; the operator must free disk space"}
)

// allKinds returns all kinds, ordered by status.
func allKinds() []kind {
	return []kind{
		invalidJSON, unauthenticated, forbidden, notFound, methodNotAllowed, requestTimeout, notCancelable,
		planInUse, credentialInUse, alreadyRunning, bodyTooLarge, unsupportedMedia, validationFailed, invalidCharacter, mismatch, notSupported, rateLimited, recipientRate, inboxFull,
		internal, outcomeUnknown, overloaded, storeUnavailable, storageFull,
	}
}

// kinds maps the platform's error codes to kinds of problems. It is the only such mapping of the REST API.
var kinds = map[esh3ar.Code]kind{
	esh3ar.Internal:            internal,
	esh3ar.Invalid:             validationFailed,
	esh3ar.Unauthenticated:     unauthenticated,
	esh3ar.Forbidden:           forbidden,
	esh3ar.NotFound:            notFound,
	esh3ar.NotCancelable:       notCancelable,
	esh3ar.InUse:               planInUse,
	esh3ar.IdempotencyMismatch: mismatch,
	esh3ar.NotSupported:        notSupported,
	esh3ar.RateLimited:         rateLimited,
	esh3ar.Overloaded:          overloaded,
	esh3ar.StoreUnavailable:    storeUnavailable,
	esh3ar.StorageFull:         storageFull,
	esh3ar.OutcomeUnknown:      outcomeUnknown,
	esh3ar.Abandoned:           overloaded,
}

// problem returns a problem of this kind. Its type is the URL of the code's section in the API documentation.
func (k kind) problem(detail string) *problem {
	return &problem{Type: "/docs#" + k.code, Title: k.title, Status: k.status, Code: k.code, Detail: detail}
}

// problemOf returns the problem for any error. For server errors it shows only text written for callers: other text, such
// as file names, belongs in the log.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	k := kinds[esh3ar.CodeOf(err)]
	p := k.problem(k.hint)
	e, ok := errors.AsType[*esh3ar.Error](err)
	if k.status < http.StatusInternalServerError {
		p.Detail = err.Error()
	} else if ok && e.Text != "" && k.code != internal.code {
		p.Detail = e.Text
	}
	if ok {
		p.retryAfter = e.RetryAfter
	}
	return p
}

// headers sets the headers that the status requires.
func (p *problem) headers(h http.Header) {
	h["Content-Type"] = problemType
	h["Cache-Control"] = noStore
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="esh3ar"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(max(1, int64((p.retryAfter+time.Second-1)/time.Second)), 10))
	case http.StatusRequestTimeout:
		h.Set("Connection", "close") // the rest of the body may still arrive
	}
}

// Values of headers, shared by all responses: net/http only reads them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	noStore     = []string{"no-store"}
	replayed    = []string{"true"}
	identity    = []string{"identity"}
)
