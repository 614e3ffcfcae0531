package torture

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// request is one call of the REST API.
type request struct {
	method string
	path   string
	key    string // idempotency key
	body   []byte
	admin  bool
	node   *target       // nil: the next node, round robin
	within time.Duration // timeout; zero: callPatience
}

// answer is the response to a call, with the ledger times at which the call began and ended.
type answer struct {
	status int
	body   []byte
	node   int // number of the node that answered
	began  int64
	at     int64
}

// callPatience is the default timeout of a call. It is longer than most pauses of a process.
const callPatience = 10 * time.Second

// newClient returns an HTTP client with its own connection pool.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
}

// do makes a call. An error means that there was no answer and the outcome is unknown. Callers that change state pass
// the context of the whole run, not that of the senders, so that a call in progress completes.
func (r *run) do(ctx context.Context, client *http.Client, q request) (a answer, err error) {
	if q.node == nil {
		q.node = r.fleet.nextNode(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(q.within, callPatience))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, q.node.url()+q.path, bytes.NewReader(q.body))
	if err != nil {
		return a, err
	}
	token := r.fleet.secrets.APIKey
	if q.admin {
		token = r.fleet.secrets.AdminToken
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.key != "" {
		req.Header.Set("Idempotency-Key", q.key)
	}
	a.node, a.began = q.node.number, r.clock.now()
	resp, err := client.Do(req)
	if err == nil {
		a.status = resp.StatusCode
		a.body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	a.at = r.clock.now()
	return a, err
}

// problem returns the error code of a problem response, or an empty string.
func (a *answer) problem() string {
	var p struct{ Code string }
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	return p.Code
}

// get reads a resource. It reports found = false for 404 and retries on 503: reads are idempotent.
func (r *run) get(ctx context.Context, client *http.Client, path string, out any) (found bool, err error) {
	return r.getFrom(ctx, client, nil, path, out)
}

// getFrom is get at one node with the admin token. A nil node means any node and the API key.
func (r *run) getFrom(ctx context.Context, client *http.Client, node *target, path string, out any) (found bool, err error) {
	for {
		a, err := r.do(ctx, client, request{method: http.MethodGet, path: path, node: node, admin: node != nil})
		switch {
		case err != nil:
			return false, fmt.Errorf("GET %s: %w", path, err)
		case a.status == http.StatusNotFound && a.problem() == "not_found":
			return false, nil
		case a.status == http.StatusServiceUnavailable:
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return false, err
			}
		case a.status != http.StatusOK:
			return false, fmt.Errorf("GET %s: %d %s", path, a.status, a.body)
		default:
			return true, json.Unmarshal(a.body, out)
		}
	}
}

// record is a message as the API returns it.
type record struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Seq       uint64 `json:"seq"`
	Recipient string `json:"recipientPhoneNumber"`
	Content   string `json:"messageContent"`
	Priority  string `json:"priority"`
	Life      int    `json:"life"`
	Attempts  int    `json:"attempts"`
	Reason    string `json:"failureReason"`
}

// number returns the message number that the content carries, or 0, which no message has.
func (m *record) number() int {
	n, _ := strconv.Atoi(m.Content)
	return n
}

// pages calls each for every page of a listing.
func (r *run) pages(ctx context.Context, client *http.Client, path string, query url.Values, each func(items []record) error) error {
	query.Set("limit", "500")
	for {
		var page struct {
			Items      []record
			NextCursor string
		}
		found, err := r.get(ctx, client, path+"?"+query.Encode(), &page)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("GET %s: got 404, want a listing", path)
		}
		if err := each(page.Items); err != nil || page.NextCursor == "" {
			return err
		}
		query.Set("cursor", page.NextCursor)
	}
}

// numberOf parses a phone number of the API. It returns zero if text is not a phone number.
func numberOf(text string) (n uint64) {
	for _, digit := range strings.TrimPrefix(text, "+") {
		if digit < '0' || digit > '9' {
			return 0
		}
		n = n*10 + uint64(digit-'0')
	}
	return n
}

// stamp formats a ledger time for the API.
func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z") }
