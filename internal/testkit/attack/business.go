package attack

import (
	"context"
	"crypto/rand"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

func businessAttacks() []Attack {
	return []Attack{
		{"unfinished batches", Business, unfinishedBatches, false},
		{"urgent flood to one inbox", Business, urgentFlood, false},
		{"batch flood to one inbox", Business, batchFlood, false},
		{"event replays", Business, eventReplays, false},
		{"unread event streams", Business, unreadEvents, false},
		{"list walks", Business, listWalks, false},
		{"idempotency keys", Business, idempotencyKeys, false},
		{"one idempotency key", Business, oneIdempotencyKey, false},
		{"control characters", Business, controlCharacters, false},
		{"deep and odd JSON", Business, oddJSON, false},
		{"business hub connections", Business, businessSockets, true},
		{"pipelined calls, answers unread", Business, pipelinedCalls, false},
		{"callers that leave", Business, leavingCallers, false},
	}
}

// unfinishedBatches sends most of a batch of 16 MiB and waits.
func unfinishedBatches(ctx context.Context, v *Victim) {
	piece := strings.Repeat(" ", 256<<10)
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		if !c.send(v.head("POST", "/v1/messages/batch", 16<<20, json, bearer(v.APIKey))) {
			return
		}
		for range 60 {
			if !c.send(piece) {
				break
			}
		}
		c.answer()
		c.drain()
	})
}

func urgentFlood(ctx context.Context, v *Victim) {
	ask(ctx, v, 2000, func() string {
		return v.request("POST", "/v1/messages", message(v.Inbox, "flood", "urgent"), json, bearer(v.APIKey))
	})
}

func batchFlood(ctx context.Context, v *Victim) {
	one := message(v.Inbox, strings.Repeat("f", 200), "urgent")
	body := `{"messages":[` + strings.Repeat(one+",", 499) + one + `]}`
	ask(ctx, v, 10, func() string { return v.request("POST", "/v1/messages/batch", body, json, bearer(v.APIKey)) })
}

// eventReplays reads the event log from its beginning, again and again.
func eventReplays(ctx context.Context, v *Victim) {
	first := v.firstEvent(ctx)
	v.history(ctx)
	v.hold(ctx, min(v.Size, 100), func(_ context.Context, c *conn) {
		if c.send(v.request("GET", "/v1/events", "", bearer(v.APIKey), "Last-Event-ID: "+first, "Accept: text/event-stream")) {
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // a socket that is gone fails below
			c.refused = c.beginning() != http.StatusOK
			c.drain()
		}
	})
}

// firstEvent sends a message and returns the id of its first event: what comes behind it is all that the attack has caused.
func (v *Victim) firstEvent(ctx context.Context) string {
	var sent struct {
		ID string `json:"id"`
	}
	v.get(ctx, http.MethodPost, "/v1/messages", message(v.PhoneNumber, "x", "low"), &sent)
	var events struct {
		Items []struct {
			EventID string `json:"eventId"`
		} `json:"items"`
	}
	v.get(ctx, http.MethodGet, "/v1/messages/"+sent.ID+"/events", "", &events)
	if len(events.Items) == 0 {
		return ""
	}
	return events.Items[0].EventID
}

// get makes one plain call of the hostile business; out stays as it is if that fails.
func (v *Victim) get(ctx context.Context, method, path, body string, out any) {
	req, err := http.NewRequestWithContext(ctx, method, v.URL+path, strings.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+v.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_ = stdjson.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out) // out shows if there was an answer
}

// history sends batches for some time, so that there are events to read.
func (v *Victim) history(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	one := message(v.PhoneNumber, "h", "low")
	body := `{"messages":[` + strings.Repeat(one+",", 499) + one + `]}`
	for ctx.Err() == nil {
		v.get(ctx, http.MethodPost, "/v1/messages/batch", body, &struct{}{})
	}
}

func unreadEvents(ctx context.Context, v *Victim) {
	first := v.firstEvent(ctx)
	v.history(ctx)
	v.hold(ctx, min(v.Size, 100), func(ctx context.Context, c *conn) {
		c.send(v.request("GET", "/v1/events", "", bearer(v.APIKey), "Last-Event-ID: "+first))
		c.refused = c.beginning() != http.StatusOK
		if !c.refused {
			c.linger(ctx)
		}
	})
}

// listWalks asks for the largest pages, with filters that match nothing.
func listWalks(ctx context.Context, v *Victim) {
	var turn atomic.Int64
	queries := []string{
		"limit=500", "status=failed&limit=500", "correlationId=none&limit=500", "recipientPhoneNumber=%2B967771111111&limit=500",
		"from=1970-01-01T00:00:00Z&until=2999-01-01T00:00:00Z&limit=500&status=read", "cursor=" + strings.Repeat("A", 2000),
	}
	ask(ctx, v, 200, func() string {
		return v.request("GET", "/v1/messages?"+queries[int(turn.Add(1))%len(queries)], "", bearer(v.APIKey))
	})
}

func idempotencyKeys(ctx context.Context, v *Victim) {
	ask(ctx, v, 1000, func() string {
		return v.request("POST", "/v1/messages", message(v.PhoneNumber, "x", "low"), json, bearer(v.APIKey),
			"Idempotency-Key: "+strings.Repeat("k", 200)+rand.Text())
	})
}

// oneIdempotencyKey sends the same keyed call on all connections at once.
func oneIdempotencyKey(ctx context.Context, v *Victim) {
	key := rand.Text()
	ask(ctx, v, 1000, func() string {
		return v.request("POST", "/v1/messages", message(v.PhoneNumber, "x", "low"), json, bearer(v.APIKey), "Idempotency-Key: "+key)
	})
}

// controlCharacters sends what terminals, logs and pages may not take as it is.
func controlCharacters(ctx context.Context, v *Victim) {
	texts := []string{
		"\x1b]0;title\x07\x1b[2J\x1b[31mred", "\u202eright to left\u202d", "\r\nlevel=error msg=forged", "<script>alert(1)</script>", "\u0000", "\\ud800",
		"\u2028\u2029\ufeff\ufffe", strings.Repeat("\U0001F469\u200d", 500), "a\u0300" + strings.Repeat("\u0300", 1000), "\x7f\x80",
	}
	var turn atomic.Int64
	ask(ctx, v, 500, func() string {
		text, _ := stdjson.Marshal(texts[int(turn.Add(1))%len(texts)]) // a string always has a form
		body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":%s,"subject":%s,"correlationId":%s,"metadata":{%s:%s}}`,
			v.PhoneNumber, text, text, text, text, text)
		return v.request("POST", "/v1/messages", body, json, bearer(v.APIKey))
	})
}

// bodies are JSON texts that no caller sends.
var bodies = []string{
	strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 20_000), `{"metadata":{` + strings.Repeat(`"a":"b",`, 10_000) + `"a":"b"}}`, `{"ttlSeconds":1e400}`,
	`{"ttlSeconds":` + strings.Repeat("9", 100_000) + `}`, "\xef\xbb\xbf{}", "{}{}", "nul", `{"messageContent":"` + strings.Repeat(`\u0041`, 20_000) + `"}`,
	`{"messages":[` + strings.Repeat("{},", 2000) + `{}]}`, `{"messages":` + strings.Repeat("[", 50_000), `{"recipientPhoneNumber":"` + strings.Repeat("9", 100_000) + `"}`,
	`{"sendAt":"` + strings.Repeat("2", 50_000) + `"}`, "\x00", strings.Repeat(" ", 120_000),
}

func oddJSON(ctx context.Context, v *Victim) {
	var turn atomic.Int64
	ask(ctx, v, 200, func() string {
		n := int(turn.Add(1))
		return v.request("POST", []string{"/v1/messages", "/v1/messages/batch"}[n%2], bodies[n/2%len(bodies)], json, bearer(v.APIKey))
	})
}

func businessSockets(ctx context.Context, v *Victim) {
	v.sockets(ctx, v.Size, businessHub, v.APIKey, func(_ context.Context, c *conn) { c.drain() })
}

func pipelinedCalls(ctx context.Context, v *Victim) {
	text := strings.Repeat(v.request("POST", "/v1/messages", message(v.PhoneNumber, "x", "low"), json, bearer(v.APIKey)), 500)
	v.hold(ctx, min(v.Size, 5), func(ctx context.Context, c *conn) {
		c.send(text)
		c.linger(ctx)
	})
}

// leavingCallers ends its connections before the answers.
func leavingCallers(ctx context.Context, v *Victim) {
	text := v.request("POST", "/v1/messages", message(v.PhoneNumber, "x", "low"), json, bearer(v.APIKey))
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) { c.send(text) })
}

// connectionToken reads the answer of negotiate.
func connectionToken(r io.Reader) string {
	var answer struct {
		ConnectionToken string `json:"connectionToken"`
	}
	if err := stdjson.NewDecoder(io.LimitReader(r, 64<<10)).Decode(&answer); err != nil {
		return ""
	}
	return answer.ConnectionToken
}
