package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
)

// wantParameters checks that a response names exactly these query parameters as faulty.
func wantParameters(t *testing.T, got reply, names ...string) {
	t.Helper()
	p := decode[struct {
		Code   string
		Errors []struct{ Parameter string }
	}](t, got.body)
	var named []string
	for _, e := range p.Errors {
		named = append(named, e.Parameter)
	}
	if got.status != 422 || strings.Join(named, " ") != strings.Join(names, " ") {
		t.Errorf("got %d with the parameters %q, want 422 with %q: %s", got.status, named, names, got.body)
	}
}

func TestQuery_UnescapedPlus_IsAccepted(t *testing.T) {
	t.Parallel()
	n := newNode(t).with(func(c *httpapi.Config) {
		phones, err := phonenumber.NewParser("DE")
		if err != nil {
			t.Fatal(err)
		}
		c.Phones = phones
	})
	sent := n.send(t, `{"recipientPhoneNumber":"+33612345678","messageContent":"a"}`)
	created := mustID(t, sent.ID).CreatedAt().Time()
	zone := created.Add(-1e9).Format("2006-01-02T15:04:05")
	for _, query := range []string{
		"recipientPhoneNumber=+33612345678", "recipientPhoneNumber=%2B33612345678", "recipientPhoneNumber=%2B33+6+12+34+56+78",
		"recipientPhoneNumber=0033612345678", "recipientPhoneNumber=+33(6)12345678", "recipientPhoneNumber=tel:+33-6-12345678",
		"from=" + zone + "+00:00", "from=" + zone + "%2B00:00", "from=" + zone + "z",
	} {
		got := n.get(t, "/v1/messages?"+query)
		if list := decode[page](t, got.body); got.status != http.StatusOK || len(list.Items) != 1 {
			t.Errorf("?%s: got %d with %d messages, want 200 with 1: %s", query, got.status, len(list.Items), got.body)
		}
	}
	wantParameters(t, n.get(t, "/v1/messages?recipientPhoneNumber=+01712345678"), "recipientPhoneNumber")
	wantParameters(t, n.get(t, "/v1/dead-letters?recipientPhoneNumber=0171x"), "recipientPhoneNumber")
}

func TestQuery_UnknownOrInvalid_IsNamed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.send(t, hello).ID
	for _, c := range []struct{ path, query, names string }{
		{"/v1/messages", "recipientPhoneNumber=", "recipientPhoneNumber"},
		{"/v1/messages", "recipientPhoneNumber=%2B96777123xxxx", "recipientPhoneNumber"},
		{"/v1/messages", "recipientPhoneNumber=%2B967771234567&recipientPhoneNumber=%2B967771234568", "recipientPhoneNumber"},
		{"/v1/messages", "RecipientPhoneNumber=%2B967771234567", "RecipientPhoneNumber"},
		{"/v1/messages", "phone=%2B967771234567&limit=0&status=gone", "limit phone status"},
		{"/v1/messages", "limit=", "limit"},
		{"/v1/messages", "limit=501", "limit"},
		{"/v1/messages", "limit=1e2", "limit"},
		{"/v1/messages", "limit=99999999999999999999", "limit"},
		{"/v1/messages", "limit=5&limit=5", "limit"},
		{"/v1/messages", "status=", "status"},
		{"/v1/messages", "status=queued,", "status"},
		{"/v1/messages", "status=QUEUED", "status"},
		{"/v1/messages", "from=2030-01-01", "from"},
		{"/v1/messages", "from=2030-01-01T8:00:00Z&until=2030-01-01T08:00:00%2B24:00", "from until"},
		{"/v1/messages", "until=2030-01-01T08:00:00,5Z", "until"},
		{"/v1/messages", "cursor=nonsense", "cursor"},
		{"/v1/messages", "correlationId=", "correlationId"},
		{"/v1/messages", "limit=%zz", "limit"},
		{"/v1/messages", "limit=5;status=queued", "limit"},
		{"/v1/messages", "%zz=5", "%zz"},
		{"/v1/messages", "=5", ""},
		{"/v1/messages", "limit=5&access_token=x", "access_token"},
		{"/v1/dead-letters", "limit=x", "limit"},
		{"/v1/dead-letters", "reason=", "reason"},
		{"/v1/dead-letters", "status=failed", "status"},
		{"/v1/dead-letters", "from=yesterday", "from"},
		{"/v1/usage", "days=%zz", "days"},
		{"/v1/usage", "days=5;x", "days"},
		{"/v1/usage", "day=5", "day"},
		{"/v1/events", "lastEventID=5", "lastEventID"},
		{"/v1/messages/" + id, "limit=5", "limit"},
		{"/v1/messages/" + id + "/events", "limit=5", "limit"},
	} {
		wantParameters(t, n.get(t, c.path+"?"+c.query), strings.Fields(c.names+" ")...)
	}
	for _, path := range []string{"/admin/v1/breakers", "/admin/v1/nodes", "/admin/v1/plans", "/admin/v1/spill"} {
		wantParameters(t, n.do(t, request{method: "GET", path: path + "?limit=5", token: n.admin}), "limit")
	}
	wantParameters(t, n.do(t, request{method: "GET", path: "/admin/v1/scaler?before=x&limit=y", token: n.admin}), "before", "limit")
	wantParameters(t, n.do(t, request{"POST", "/v1/messages?ttlSeconds=5", n.key, hello, nil}), "ttlSeconds")
	wantParameters(t, n.do(t, request{"POST", "/v1/messages?limit=5", n.key, hello, nil}), "limit")
}

func TestBody_ContentEncoding_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, coding := range []string{"gzip", "br", "GZIP", "deflate", "zstd", "identity, gzip", "x", "compress"} {
		for path, body := range map[string]string{"/v1/messages": hello, "/v1/messages/batch": `{"messages":[` + hello + `]}`, "/v1/dead-letters/replay": "{}"} {
			got := n.do(t, request{"POST", path, n.key, body, map[string]string{"Content-Encoding": coding}})
			wantProblem(t, got, 415, "unsupported_media_type")
			if accept := got.header.Get("Accept-Encoding"); accept != "identity" {
				t.Errorf("%s with %s: got Accept-Encoding %q, want identity", path, coding, accept)
			}
		}
		got := n.do(t, request{"POST", "/admin/v1/businesses", n.admin, `{"name":"a"}`, map[string]string{"Content-Encoding": coding}})
		wantProblem(t, got, 415, "unsupported_media_type")
	}
	for _, coding := range []string{"identity", "Identity", ""} {
		if got := n.do(t, request{"POST", "/v1/messages", n.key, hello, map[string]string{"Content-Encoding": coding}}); got.status != http.StatusAccepted {
			t.Errorf("Content-Encoding %q: got %d %s, want %d", coding, got.status, got.body, http.StatusAccepted)
		}
	}
}

func TestBody_ByteOrderMark_IsSkipped(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const mark = "\ufeff"
	if got := n.post(t, "/v1/messages", mark+hello); got.status != http.StatusAccepted {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	if got := n.post(t, "/v1/messages/batch", mark+`{"messages":[`+hello+`]}`); got.status != http.StatusAccepted {
		t.Errorf("batch: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	for _, body := range []string{mark, mark + mark + hello, " " + mark + hello, hello + mark, "\xff\xfe" + hello, "\xfe\xff", `{` + mark + `}`} {
		wantProblem(t, n.post(t, "/v1/messages", body), 400, "invalid_json")
	}
}

func TestCredential_HeaderForms_SameOnEveryRoute(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for header, want := range map[string]int{
		"Bearer  KEY": 200, "bearer KEY": 200, "BEARER    KEY": 200, "Bearer\tKEY": 401, "Bearer KEY x": 401, "KEY": 401, "Basic KEY": 401, "Bearer KEY, Bearer KEY": 401,
	} {
		for path, token := range map[string]string{"/v1/messages": n.key, "/v1/usage": n.key, "/admin/v1/nodes": n.admin} {
			got := n.do(t, request{method: "GET", path: path, header: map[string]string{"Authorization": strings.ReplaceAll(header, "KEY", token)}})
			if got.status != want {
				t.Errorf("%s with %q: got %d, want %d", path, header, got.status, want)
			}
		}
	}
	events := "/v1/events?other=1&access_token=" + url.QueryEscape(n.key) // valid credentials: only the other parameter is a fault
	wantParameters(t, n.get(t, events), "other")
	wantParameters(t, n.do(t, request{method: "GET", path: events}), "other")
	if got := n.do(t, request{method: "HEAD", path: events, token: "another"}); got.status != http.StatusUnauthorized {
		t.Errorf("two tokens: %d, want 401", got.status)
	}
}
