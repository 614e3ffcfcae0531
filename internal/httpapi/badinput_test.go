package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// httpapiConfig shortens closures that change the configuration.
type httpapiConfig = httpapi.Config

// problem is a decoded error response.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	Errors                    []struct{ Pointer, Parameter, Header, Code, Detail string }
}

// wantProblem checks the status and code of an error response. If pointers are given, it checks that the response names
// exactly these fields, in any order.
func wantProblem(t *testing.T, got reply, status int, code string, pointers ...string) problem {
	t.Helper()
	p := decode[problem](t, got.body)
	if got.status != status || p.Code != code || p.Status != status || got.header.Get("Content-Type") != "application/problem+json" || p.Title == "" {
		t.Errorf("answer %d %s, want %d %s", got.status, got.body, status, code)
	}
	var named []string
	for _, e := range p.Errors {
		named = append(named, e.Pointer)
	}
	slices.Sort(named)
	slices.Sort(pointers)
	if len(pointers) > 0 && !slices.Equal(named, pointers) {
		t.Errorf("named %q, want %q", named, pointers)
	}
	if status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if status == http.StatusUnauthorized && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
		t.Error("no WWW-Authenticate")
	}
	return p
}

func TestBody_NotJSON_IsInvalidJSON(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for name, body := range map[string]string{
		"nothing":           " ",
		"a word":            "hello",
		"cut off":           `{"messageContent":"a`,
		"cut off in escape": `{"messageContent":"a\`,
		"cut off unicode":   `{"messageContent":"a\u12`,
		"no colon":          `{"messageContent" "a"}`,
		"comma at end":      `{"messageContent":"a",}`,
		"comma at start":    `{,"messageContent":"a"}`,
		"name unquoted":     `{messageContent:"a"}`,
		"two documents":     hello + hello,
		"text behind":       hello + " x",
		"twice":             `{"messageContent":"a","messageContent":"b"}`,
		"unknown twice":     `{"x":1,"x":1}`,
		"metadata twice":    `{"metadata":{"a":"1","\u0061":"2"}}`,
		"not UTF-8":         "{\"messageContent\":\"a\xff\"}",
		"half a character":  "{\"messageContent\":\"a\xd9\"}",
		"surrogate bytes":   "{\"messageContent\":\"\xed\xa0\x80\"}",
		"raw control":       "{\"messageContent\":\"a\x00\"}",
		"raw line feed":     "{\"messageContent\":\"a\n\"}",
		"bad escape":        `{"messageContent":"\x41"}`,
		"bad unicode":       `{"messageContent":"\u00g1"}`,
		"signed unicode":    `{"messageContent":"\u+123"}`,
		"leading zero":      `{"ttlSeconds":01}`,
		"bare minus":        `{"ttlSeconds":-}`,
		"bare point":        `{"ttlSeconds":1.}`,
		"not a number":      `{"ttlSeconds":NaN}`,
		"half a literal":    `{"subject":nul}`,
		"too deep":          `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		"unclosed array":    `{"x":[1,2}`,
		"comment":           `{/**/}`,
	} {
		got := n.post(t, "/v1/messages", body)
		if p := wantProblem(t, got, 400, "invalid_json"); !strings.Contains(p.Detail, "at byte ") {
			t.Errorf("%s: got %s, want a detail with an offset", name, got.body)
		}
	}
	p := wantProblem(t, n.post(t, "/v1/messages", "{\n  \"messageContent\": tru\n}"), 400, "invalid_json")
	if p.Detail != "expected a value at byte 22 (line 2, column 21)" {
		t.Errorf("got detail %q, want the line and column", p.Detail)
	}
}

func TestMessage_SeveralFaults_AllAreNamed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	long := strings.Repeat("é", 4097)
	body := func(fields string) string { return `{"recipientPhoneNumber":"+967771234567",` + fields + `}` }
	for _, c := range []struct {
		name, body, code string
		pointers         []string
	}{
		{"no object", `[]`, "validation_failed", []string{""}},
		{"null", `null`, "validation_failed", []string{""}},
		{"empty", `{}`, "validation_failed", []string{"/recipientPhoneNumber", "/messageContent"}},
		{"unknown field", body(`"messageContent":"a","Subject":"b","a/b~":1,"":{"deep":[null]}`), "validation_failed", []string{"/Subject", "/a~1b~0", "/"}},
		{
			"wrong types", `{"recipientPhoneNumber":1,"messageContent":null,"subject":[],"priority":{},"correlationId":true,"metadata":"x","ttlSeconds":"5","sendAt":5}`,
			"validation_failed",
			[]string{"/recipientPhoneNumber", "/messageContent", "/subject", "/priority", "/correlationId", "/metadata", "/ttlSeconds", "/sendAt"},
		},
		{
			"too long", `{"recipientPhoneNumber":"+967771234567","messageContent":"` + long + `","subject":"` + long[:514] + `","correlationId":"` + long[:258] + `"}`,
			"validation_failed",
			[]string{"/messageContent", "/subject", "/correlationId"},
		},
		{"empty content", body(`"messageContent":""`), "validation_failed", []string{"/messageContent"}},
		{"impossible number", `{"recipientPhoneNumber":"+9671","messageContent":"a","priority":"now"}`, "validation_failed", []string{"/recipientPhoneNumber", "/priority"}},
		{"long number", `{"recipientPhoneNumber":"` + strings.Repeat("7", 65) + `","messageContent":"a"}`, "validation_failed", []string{"/recipientPhoneNumber"}},
		{"NUL", body(`"messageContent":"a\u0000b"`), "invalid_character", []string{"/messageContent"}},
		{"lone surrogates", body(`"messageContent":"\ud83d","subject":"\ude00\ud83d","correlationId":"\ud83dx"`), "invalid_character", []string{"/messageContent", "/subject", "/correlationId"}},
		{"characters and more", body(`"messageContent":"\ud83d\u0041","x":1`), "validation_failed", []string{"/messageContent", "/x"}},
		{"metadata types", body(`"messageContent":"a","metadata":{"a":1,"b":null,"c/":{}}`), "validation_failed", []string{"/metadata/a", "/metadata/b", "/metadata/c~1"}},
		{"metadata characters", body(`"messageContent":"a","metadata":{"a":"\u0000","\ud800":"b"}`), "invalid_character", []string{"/metadata/a", "/metadata/\ufffd"}},
		{"metadata size", body(`"messageContent":"a","metadata":{"a":"` + long[:4096] + `"}`), "validation_failed", []string{"/metadata"}},
		{"metadata pairs", body(`"messageContent":"a","metadata":{"0":"","1":"","2":"","3":"","4":"","5":"","6":"","7":"","8":"","9":"","a":"","b":"","c":"","d":"","e":"","f":"","g":""}`), "validation_failed", []string{"/metadata"}},
		{"out of range", body(`"messageContent":"a","ttlSeconds":2592001,"sendAt":"2999-01-01T00:00:00Z"`), "validation_failed", []string{"/ttlSeconds", "/sendAt"}},
		{"no time, no integer", body(`"messageContent":"a","ttlSeconds":1.5,"sendAt":"tomorrow"`), "validation_failed", []string{"/ttlSeconds", "/sendAt"}},
		{"not a ttl", body(`"messageContent":"a","ttlSeconds":0,"sendAt":"2020-01-01T00:00:00Z"`), "validation_failed", []string{"/ttlSeconds"}},
		{"negative ttl", body(`"messageContent":"a","ttlSeconds":-1`), "validation_failed", []string{"/ttlSeconds"}},
		{"no ttl", body(`"messageContent":"a","ttlSeconds":null,"sendAt":null`), "validation_failed", []string{"/ttlSeconds", "/sendAt"}},
		{"no times", body(`"messageContent":"a","sendAt":""`), "validation_failed", []string{"/sendAt"}},
		{"a date", body(`"messageContent":"a","sendAt":"2026-01-01"`), "validation_failed", []string{"/sendAt"}},
		{"a time of no zone", body(`"messageContent":"a","sendAt":"2026-01-01T00:00:00"`), "validation_failed", []string{"/sendAt"}},
		{"a day that is not", body(`"messageContent":"a","sendAt":"2026-02-30T00:00:00Z"`), "validation_failed", []string{"/sendAt"}},
		{"a time with NUL", body(`"messageContent":"a","sendAt":"2026-01-01T00:00:00Z\u0000"`), "invalid_character", []string{"/sendAt"}},
		{"enormous ttl", body(`"messageContent":"a","ttlSeconds":1e999`), "validation_failed", []string{"/ttlSeconds"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantProblem(t, n.post(t, "/v1/messages", c.body), 422, c.code, c.pointers...) })
	}
	if list := decode[page](t, n.get(t, "/v1/messages").body); len(list.Items) != 0 {
		t.Errorf("got %d stored messages, want 0: all were refused", len(list.Items))
	}
}

func TestMessage_AtTheBounds_IsAccepted(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	wide := strings.Repeat("\U0001F600", 4096)
	for name, body := range map[string]string{
		"content":  `{"recipientPhoneNumber":"+967771234567","messageContent":"` + wide + `","subject":"` + wide[:1024] + `","correlationId":"` + wide[:512] + `"}`,
		"metadata": `{"recipientPhoneNumber":"+967771234567","messageContent":"a","metadata":{"a":"` + wide[:4092] + `xyz"}}`,
		"sixteen":  `{"recipientPhoneNumber":"+967771234567","messageContent":"a","metadata":{"0":"","1":"","2":"","3":"","4":"","5":"","6":"","7":"","8":"","9":"","a":"","b":"","c":"","d":"","e":"","f":""}}`,
		"space":    " \t\r\n" + strings.ReplaceAll(hello, ":", " :\n") + "\n ",
		"escapes":  `{"\u0072ecipientPhoneNumber":"\u002b967771234567","messageContent":"\/\b\f\n\r\t\"\\\u007f\ufffd"}`,
		"empties":  `{"recipientPhoneNumber":"+967771234567","messageContent":" ","subject":"","correlationId":"","metadata":{}}`,
	} {
		if got := n.post(t, "/v1/messages", body); got.status != http.StatusAccepted {
			t.Errorf("%s: got %d %.300s, want 202", name, got.status, got.body)
		}
	}
}

func TestBody_TooLargeOrWrongType_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	large := `{"messageContent":"` + strings.Repeat("a", 128<<10) + `"}`
	wantProblem(t, n.post(t, "/v1/messages", large), 413, "body_too_large")
	exact := hello + strings.Repeat(" ", 128<<10-len(hello))
	if got := n.post(t, "/v1/messages", exact); got.status != http.StatusAccepted {
		t.Errorf("exactly 128 KiB: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	wantProblem(t, n.post(t, "/v1/messages/batch", `{"messages":["`+strings.Repeat("a", 16<<20)+`"]}`), 413, "body_too_large")
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx", "application/json; charset"} {
		wantProblem(t, n.do(t, request{"POST", "/v1/messages", n.key, hello, map[string]string{"Content-Type": media}}), 415, "unsupported_media_type")
	}
	for _, media := range []string{"application/json; charset=UTF-8", "Application/JSON;charset=\"utf-8\""} {
		if got := n.do(t, request{"POST", "/v1/messages", n.key, hello, map[string]string{"Content-Type": media}}); got.status != http.StatusAccepted {
			t.Errorf("%s: got %d %s, want %d", media, got.status, got.body, http.StatusAccepted)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", io.MultiReader(strings.NewReader(large))) // of unknown length
	r.Header.Set("Authorization", "Bearer "+n.key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, r)
	wantProblem(t, reply{w.Code, w.Header(), w.Body.Bytes()}, 413, "body_too_large")
}

func TestCredential_MissingOrWrongKind_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	phone, _, err := n.config.Tokens.Mint(967771234567, "p", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, header string
		status             int
		code               string
	}{
		{"none", "/v1/messages", "", 401, "unauthenticated"},
		{"another scheme", "/v1/messages", "Basic " + n.key, 401, "unauthenticated"},
		{"no token", "/v1/messages", "Bearer ", 401, "unauthenticated"},
		{"unknown key", "/v1/messages", "Bearer esk_nobody", 401, "unauthenticated"},
		{"admin token at the business API", "/v1/messages", "Bearer " + n.admin, 403, "forbidden"},
		{"phone at the business API", "/v1/messages", "Bearer " + phone, 403, "forbidden"},
		{"API key at the admin API", "/admin/v1/businesses", "Bearer " + n.key, 403, "forbidden"},
		{"phone at the admin API", "/admin/v1/businesses", "Bearer " + phone, 403, "forbidden"},
		{"unknown at the admin API", "/admin/v1/businesses", "Bearer x", 401, "unauthenticated"},
		{"none at the admin API", "/admin/v1/businesses", "", 401, "unauthenticated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantProblem(t, n.do(t, request{"POST", c.path, "", hello, map[string]string{"Authorization": c.header}}), c.status, c.code)
		})
	}
	if got := n.do(t, request{"GET", "/v1/messages", "", "", map[string]string{"Authorization": "bearer " + n.key}}); got.status != http.StatusOK {
		t.Errorf("the scheme in lower case: %d", got.status)
	}
}

func TestRoute_UnknownPathOrMethod_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, path := range []string{
		"/", "/v1", "/v1/messages/", "//v1/messages", "/v1//messages", "/v1/messages/a/b", "/v1/events/", "/v1/webhooks", "/v1/dead-letters/", "/v1/dead-letters//replay",
		"/v1/usages", "/v1/mobile/register", "/admin/v1/nothing", "/livez/", "/V1/messages", "/admin/v1/businesses//keys",
	} {
		wantProblem(t, n.do(t, request{method: "GET", path: path, token: n.key}), 404, "not_found")
	}
	for path, allow := range map[string]string{
		"/v1/messages": "GET, HEAD, POST", "/v1/messages/batch": "POST", "/v1/messages/x": "DELETE, GET, HEAD",
		"/admin/v1/device-tokens": "POST", "/livez": "GET, HEAD", "/v1/dead-letters": "GET, HEAD", "/v1/dead-letters/replay": "POST",
		"/v1/dead-letters/x": "DELETE, GET, HEAD", "/v1/dead-letters/x/replay": "POST", "/admin/v1/verify": "POST", "/admin/v1/breakers": "GET, HEAD",
	} {
		got := n.do(t, request{method: "PATCH", path: path, token: n.key})
		wantProblem(t, got, 405, "method_not_allowed")
		if got.header.Get("Allow") != allow {
			t.Errorf("%s: Allow %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
}

// failingIntake fails every call with err.
type failingIntake struct{ err error }

func (a failingIntake) Submit(context.Context, *esh3ar.Call) (esh3ar.Answer, error) {
	return esh3ar.Answer{}, a.err
}

func TestStoreError_EachCode_HasItsAnswer(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	secret := errors.New("/var/lib/secret: input/output error")
	for _, c := range []struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		{&esh3ar.Error{Code: esh3ar.Overloaded, Text: "full", RetryAfter: 1500 * time.Millisecond}, 503, "overloaded", "2"},
		{&esh3ar.Error{Code: esh3ar.StoreUnavailable, Err: secret}, 503, "store_unavailable", "1"},
		{&esh3ar.Error{Code: esh3ar.StorageFull, Err: secret}, 503, "storage_full", "1"},
		{&esh3ar.Error{Code: esh3ar.OutcomeUnknown, Err: secret}, 502, "outcome_unknown", ""},
		{&esh3ar.Error{Code: esh3ar.Abandoned, Err: secret}, 503, "overloaded", "1"},
		{secret, 500, "internal", ""},
	} {
		var log bytes.Buffer
		broken := n.with(func(c2 *httpapiConfig) {
			c2.Intake = failingIntake{c.err}
			c2.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		got := broken.post(t, "/v1/messages", hello)
		wantProblem(t, got, c.status, c.code)
		if got.header.Get("Retry-After") != c.retryAfter || bytes.Contains(got.body, []byte("secret")) {
			t.Errorf("%s: Retry-After %q, %s", c.code, got.header.Get("Retry-After"), got.body)
		}
		if logged := strings.Contains(log.String(), "secret"); logged != (c.code == "internal" || c.code == "outcome_unknown") {
			t.Errorf("%s: log %q", c.code, log.String())
		}
	}
}

// unavailableStore is a store that cannot answer.
type unavailableStore struct{ esh3ar.Store }

func (unavailableStore) KeyByHash(context.Context, esh3ar.KeyHash) (esh3ar.APIKey, error) {
	return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.StoreUnavailable, "no connection")
}

func TestStoreUnavailable_Authentication_Is503(t *testing.T) {
	t.Parallel()
	n := newNode(t).with(func(c *httpapiConfig) { c.Keys = auth.NewKeys(unavailableStore{}, time.Now) })
	wantProblem(t, n.get(t, "/v1/messages"), 503, "store_unavailable")
	wantProblem(t, n.createBusinessAs(t, "somebody"), 503, "store_unavailable")
}

func (n *node) createBusinessAs(t *testing.T, token string) reply {
	t.Helper()
	return n.do(t, request{method: "POST", path: "/admin/v1/businesses", token: token, body: `{"name":"x"}`})
}

// panicking is an intake that panics.
type panicking struct{}

func (panicking) Submit(context.Context, *esh3ar.Call) (esh3ar.Answer, error) { panic("boom") }

func TestPanic_InHandler_IsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := newNode(t).with(func(c *httpapiConfig) {
		c.Intake, c.Log = panicking{}, slog.New(slog.NewTextHandler(&log, nil))
	})
	got := n.post(t, "/v1/messages", hello)
	wantProblem(t, got, 500, "internal")
	if bytes.Contains(got.body, []byte("boom")) || !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "badinput_test.go") {
		t.Errorf("answer %s, log %s", got.body, log.String())
	}
	if strings.Contains(log.String(), n.key) {
		t.Error("the log contains the API key")
	}
}

func TestLog_DebugLevel_ContainsNoSecrets(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := newNode(t).with(func(c *httpapiConfig) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	n.get(t, "/v1/messages?access_token=secret&x=1")
	if text := log.String(); !strings.Contains(text, "path=/v1/messages status=422") || strings.Contains(text, "secret") || strings.Contains(text, n.key) {
		t.Errorf("got log %q, want path and status without secrets", text)
	}
}

// TestPanic_AfterPartialResponse_AbortsConnection checks that a client cannot take the part that a failed handler wrote for
// a complete response.
func TestPanic_AfterPartialResponse_AbortsConnection(t *testing.T) {
	t.Parallel()
	n := newNode(t).with(func(c *httpapiConfig) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("boom")
		})
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
			t.Errorf("got panic %v, want http.ErrAbortHandler", cause)
		}
	}()
	n.api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
}

func TestLargeBodies_BeyondMemory_AreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t).with(func(c *httpapiConfig) { c.Memory = 600 << 10 })
	big := `{"messages":[` + hello + strings.Repeat(" ", 200<<10) + `]}`
	for range 3 { // each call releases what it reserved
		if got := n.post(t, "/v1/messages/batch", big); got.status != http.StatusAccepted {
			t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
		}
	}
	wantProblem(t, n.post(t, "/v1/messages/batch", big+strings.Repeat(" ", 1<<20)), 429, "rate_limited")
	if got := n.post(t, "/v1/messages", hello); got.status != http.StatusAccepted {
		t.Errorf("a small call: %d", got.status)
	}
	if got := n.post(t, "/v1/messages/batch", big); got.status != http.StatusAccepted {
		t.Errorf("after the refusal: %d", got.status)
	}
}

// TestLargeBodies_OneBusinessUnfinished_OthersAreAccepted starts batches of one business that never end, until one is refused.
func TestLargeBodies_OneBusinessUnfinished_OthersAreAccepted(t *testing.T) {
	t.Parallel()
	n := newNode(t).with(func(c *httpapiConfig) { c.Memory = 2 << 20 })
	other := decode[struct{ ID string }](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Other"}`).body)
	key := decode[struct{ APIKey string }](t, n.adminPost(t, "/admin/v1/businesses/"+other.ID+"/keys", "").body)
	var group sync.WaitGroup
	defer group.Wait()
	refused := make(chan int, 1)
	for range 40 {
		body, more := io.Pipe()
		defer more.Close()
		answered := make(chan int, 1)
		group.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/v1/messages/batch", body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+n.key)
			w := httptest.NewRecorder()
			n.api.ServeHTTP(w, r)
			_ = body.Close() // unblocks the writer
			answered <- w.Code
		})
		if _, err := more.Write(make([]byte, 100<<10)); err != nil { // the server stopped reading: the call was refused
			refused <- <-answered
			break
		}
	}
	select {
	case status := <-refused:
		if status != http.StatusTooManyRequests {
			t.Errorf("one batch too many: got %d, want 429", status)
		}
	default:
		t.Error("got 40 unfinished batches of one business accepted, want one refused")
	}
	big := `{"messages":[` + hello + strings.Repeat(" ", 100<<10) + `]}`
	if got := n.do(t, request{method: "POST", path: "/v1/messages/batch", token: key.APIKey, body: big}); got.status != http.StatusAccepted {
		t.Errorf("another business's batch: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
}

// TestBody_TooSlow_Is408 announces a body on a real connection and does not send it.
func TestBody_TooSlow_Is408(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	server := httpapi.NewServer(n.api, slog.New(slog.DiscardHandler))
	server.ReadTimeout = 50 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	for _, token := range []string{n.key, "nobody"} { // a request that is refused anyway must not hold the connection either
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Write([]byte("POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
			"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"messageContent\":"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, err := io.ReadAll(conn) // ends when the server has closed
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is still open after 20 s, want it closed")
		}
		if token == n.key && !bytes.Contains(answer, []byte("408 Request Timeout")) {
			t.Errorf("got %s, want 408 Request Timeout", answer)
		}
		_ = conn.Close()
	}
}
