package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type sendCmd struct {
	clientFlags   `embed:""`
	To            string         `required:"" help:"The recipient's phone number."`
	Text          string         `required:"" help:"What to say, 1 to 4096 characters."`
	Subject       string         `help:"A subject, at most 256 characters."`
	Priority      string         `help:"low, normal, high or urgent (default: normal)."`
	CorrelationID string         `name:"correlation-id" help:"Your own reference, at most 128 characters."`
	Key           string         `help:"Idempotency key: the same call with the same key is taken once."`
	TTL           *time.Duration `name:"ttl" placeholder:"DURATION" help:"Give the message up after this time, such as 10m; whole seconds, at most 720h (default: it waits until it is delivered)."`
	At            string         `placeholder:"TIME" help:"Send it then: an RFC 3339 time such as 2030-01-01T09:00:00+03:00, at most 90 days ahead."`
	Wait          time.Duration  `help:"Wait this long for a phone to acknowledge it, such as 30s."`
}

// sentMessage is the answer about a message with the fields that a terminal shows.
type sentMessage struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Seq    uint64 `json:"seq"`
	To     string `json:"recipientPhoneNumber"`
}

func (c *sendCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.resolve(); err != nil {
		return err
	}
	if err := c.needAPIKey(); err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	header := http.Header{}
	if c.Key != "" {
		header.Set("Idempotency-Key", c.Key)
	}
	var message sentMessage
	if err := c.call(ctx, http.MethodPost, "/v1/messages", c.APIKey, header, body, &message); err != nil {
		return flagged(err, sendFlags)
	}
	fmt.Fprintf(s.Out, "%s  %s  %s  to %s\n", printable(message.ID), printable(message.Status), printable(c.place(message)), printable(message.To))
	if c.Wait <= 0 {
		return nil
	}
	return c.await(ctx, s, message)
}

// sendFlags maps the fields of a message to their flags.
var sendFlags = map[string]string{
	"recipientPhoneNumber": "--to", "messageContent": "--text", "subject": "--subject", "priority": "--priority",
	"correlationId": "--correlation-id", "ttlSeconds": "--ttl", "sendAt": "--at", "Idempotency-Key": "--key",
}

// body returns the message in the form of the API.
func (c *sendCmd) body() (map[string]any, error) {
	body := map[string]any{"recipientPhoneNumber": c.To, "messageContent": c.Text}
	for name, value := range map[string]string{"subject": c.Subject, "priority": c.Priority, "correlationId": c.CorrelationID} {
		if value != "" {
			body[name] = value
		}
	}
	if c.TTL != nil {
		if *c.TTL <= 0 || *c.TTL > esh3ar.MaxTTL || *c.TTL%time.Second != 0 {
			return nil, usage.Errorf("--ttl: must be whole seconds from 1s to 720h, is %s", *c.TTL)
		}
		body["ttlSeconds"] = int64(*c.TTL / time.Second)
	}
	if c.At != "" {
		at, err := parseTime("--at", c.At)
		if err != nil {
			return nil, err
		}
		body["sendAt"] = at
	}
	return body, nil
}

// place describes where an accepted message is stored.
func (c *sendCmd) place(m sentMessage) string {
	if m.Seq != 0 {
		return fmt.Sprintf("seq %d", m.Seq)
	}
	if m.Status == "scheduled" {
		return "for " + c.At
	}
	return "on the node's disk until its database answers"
}

// parseTime parses the time of a flag.
func parseTime(flag, text string) (esh3ar.Time, error) {
	var t esh3ar.Time
	if t.UnmarshalText([]byte(text)) != nil {
		return 0, usage.Errorf("%s: %q is not a time such as 2030-01-01T09:00:00Z", flag, text)
	}
	return t, nil
}

// await polls until a device has received the message.
func (c *sendCmd) await(ctx context.Context, s node.Streams, message sentMessage) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	over := func(status string) error {
		return fmt.Errorf("still %s after %s; the message is stored and waits for its %s", status, c.Wait, waitsFor(status))
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	shown := message.Status
	for {
		select {
		case <-ctx.Done():
			return over(shown)
		case <-tick.C:
		}
		if err := c.call(ctx, http.MethodGet, "/v1/messages/"+url.PathEscape(message.ID), c.APIKey, nil, nil, &message); ctx.Err() != nil {
			return over(shown) // the time ended during a call
		} else if err != nil {
			return err
		}
		if message.Status != shown {
			shown = message.Status
			fmt.Fprintf(s.Out, "%s  %s\n", printable(message.ID), printable(shown))
		}
		switch shown {
		case "delivered", "read":
			return nil
		case "canceled", "expired", "failed":
			return fmt.Errorf("the message is %s", shown)
		}
	}
}

func waitsFor(status string) string {
	if status == "scheduled" {
		return "time"
	}
	return "phone"
}
