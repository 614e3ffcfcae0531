package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type sendCmd struct {
	clientFlags   `embed:""`
	To            string        `required:"" help:"The recipient's phone number."`
	Text          string        `required:"" help:"What to say, 1 to 4096 characters."`
	Subject       string        `help:"A subject, at most 256 characters."`
	Priority      string        `help:"low, normal, high or urgent (default: normal)."`
	CorrelationID string        `name:"correlation-id" help:"Your own reference, at most 128 characters."`
	Key           string        `help:"Idempotency key: the same call with the same key is taken once."`
	Wait          time.Duration `help:"Wait this long for a phone to acknowledge it, such as 30s."`
}

// sentMessage is what of a message's answer a terminal shows.
type sentMessage struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Seq    uint64 `json:"seq"`
	To     string `json:"recipientPhoneNumber"`
}

func (c *sendCmd) Run(ctx context.Context, s streams) error {
	if err := c.resolve(); err != nil {
		return err
	}
	if err := c.needAPIKey(); err != nil {
		return err
	}
	body := map[string]string{"recipientPhoneNumber": c.To, "messageContent": c.Text}
	for name, value := range map[string]string{"subject": c.Subject, "priority": c.Priority, "correlationId": c.CorrelationID} {
		if value != "" {
			body[name] = value
		}
	}
	header := http.Header{}
	if c.Key != "" {
		header.Set("Idempotency-Key", c.Key)
	}
	var message sentMessage
	if err := c.call(ctx, http.MethodPost, "/v1/messages", c.APIKey, header, body, &message); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s  %s  seq %d  to %s\n", message.ID, message.Status, message.Seq, message.To)
	if c.Wait <= 0 {
		return nil
	}
	return c.await(ctx, s, message)
}

// await polls until a device has the message. Status streams come with a later version; a poll is honest till then.
func (c *sendCmd) await(ctx context.Context, s streams, message sentMessage) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	shown := message.Status
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("still %s after %s; the message is stored and waits for its phone", shown, c.Wait)
		case <-tick.C:
		}
		if err := c.call(ctx, http.MethodGet, "/v1/messages/"+url.PathEscape(message.ID), c.APIKey, nil, nil, &message); err != nil {
			return err
		}
		if message.Status != shown {
			shown = message.Status
			fmt.Fprintf(s.out, "%s  %s\n", message.ID, shown)
		}
		switch shown {
		case "delivered", "read":
			return nil
		case "canceled", "expired", "failed":
			return fmt.Errorf("the message is %s", shown)
		}
	}
}
