package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

type listenCmd struct {
	clientFlags `embed:""`
	Phone       string `required:"" help:"The phone number to be."`
	Token       string `help:"A device token (default: made with the admin token)."`
	Count       int    `help:"End after this many messages; 0: go on."`
}

// pingEvery is the interval of pings. The server closes a connection that is silent for 30 s.
const pingEvery = 15 * time.Second

func (c *listenCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.resolve(); err != nil {
		return err
	}
	if c.Token == "" {
		if err := c.needAdminToken(); err != nil {
			return err
		}
		var err error
		if c.Token, err = c.deviceToken(ctx, c.Phone); err != nil {
			return flagged(err, map[string]string{"phoneNumber": "--phone"})
		}
	}
	received := 0
	for attempt := 0; ; attempt++ {
		err := c.connection(ctx, s, &received)
		var refused *signalrclient.StatusError
		var closed *signalrclient.ErrClosed
		switch {
		case ctx.Err() != nil, c.Count > 0 && received >= c.Count:
			return nil
		case errors.As(err, &refused) && refused.Status == 401:
			return fmt.Errorf("the device token is unknown to %s or has expired", c.URL)
		case c.authorityError(err) != nil:
			return c.authorityError(err)
		case attempt == 0 && received == 0 && !errors.As(err, &closed):
			return fmt.Errorf("%s: %w", c.URL, err)
		}
		fmt.Fprintf(s.Err, "connection lost (%v), coming back\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// connection is one connection from start to end.
func (c *listenCmd) connection(ctx context.Context, s node.Streams, received *int) error {
	to, err := signalrclient.Negotiate(ctx, http.DefaultClient, signalrclient.Config{URL: c.URL, Token: c.Token})
	if err != nil {
		return err
	}
	conn, err := signalrclient.Dial(ctx, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	defer unhook()
	fmt.Fprintf(s.Err, "%s is online at %s; messages are acknowledged as they come (Ctrl-C ends)\n", c.Phone, c.URL)
	var alive sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	alive.Go(func() { keepAlive(ctx, conn) })
	defer alive.Wait()
	defer stop()
	var events []signalrclient.Event
	for {
		if events, err = conn.Next(events[:0], true); err != nil {
			return err
		}
		for _, event := range events {
			for _, m := range event.Messages {
				if err := c.show(s, conn, m); err != nil {
					return err
				}
				*received++
				if c.Count > 0 && *received >= c.Count {
					return c.flush(conn)
				}
			}
		}
	}
}

// keepAlive pings until ctx ends.
func keepAlive(ctx context.Context, conn *signalrclient.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		_ = conn.Ping() // the next read reports a lost connection
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// flush waits until the last acknowledgement is durable.
func (c *listenCmd) flush(conn *signalrclient.Conn) error {
	for {
		events, err := conn.Next(nil, true)
		if err != nil {
			return err
		}
		for _, event := range events {
			if event.Completion == fmt.Sprint(c.Count) {
				return nil
			}
		}
	}
}

func (c *listenCmd) show(s node.Streams, conn *signalrclient.Conn, m signalrclient.Message) error {
	subject := ""
	if m.Subject != "" {
		subject = printable(m.Subject) + ": "
	}
	fmt.Fprintf(s.Out, "%s  #%d  %-6s  %s  %s%s\n", m.CreatedAt, m.Seq, printable(m.Priority), printable(m.From), subject, printable(m.Content))
	id, err := json.Marshal([]string{m.ID})
	if err != nil {
		return err
	}
	_, err = conn.Invoke("AcknowledgeMessage", string(id))
	return err
}
