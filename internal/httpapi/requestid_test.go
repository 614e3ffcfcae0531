package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

func TestRequestID_OfClient_IsInResponseProblemAndLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := newNode(t).with(func(c *httpapi.Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, nil))
		c.Intake = failingIntake{esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", errors.New("connection lost"))}
	})
	const id = "order-42/attempt:1"
	got := n.do(t, request{
		method: http.MethodPost, path: "/v1/messages", token: n.key, body: `{"recipientPhoneNumber":"+967771234567","messageContent":"x"}`,
		header: map[string]string{"X-Request-Id": id},
	})
	if got.status != http.StatusBadGateway || got.header.Get("X-Request-Id") != id {
		t.Errorf("got %d with X-Request-Id %q, want 502 with %q", got.status, got.header.Get("X-Request-Id"), id)
	}
	var line struct{ Msg, RequestID string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Msg != "request failed" || line.RequestID != id {
		t.Errorf("got log line %s (%v), want request failed with requestId %q", log.Bytes(), err, id)
	}
}

func TestRequestID_Accepted_IsInResponse(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const body = `{"recipientPhoneNumber":"+967771234567","messageContent":"x"}`
	first, second := n.post(t, "/v1/messages", body), n.post(t, "/v1/messages", body)
	if first.status != http.StatusAccepted || first.header.Get("X-Request-Id") == second.header.Get("X-Request-Id") {
		t.Errorf("got %d and ids %q and %q, want 202 and two ids", first.status, first.header.Get("X-Request-Id"), second.header.Get("X-Request-Id"))
	}
}
