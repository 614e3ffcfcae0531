package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// listenHub runs one connection to the business hub. It resumes from the last checkpoint. A checkpoint follows a group
// of events, so events after it are delivered again. Events before the completion of Resume are live events ahead of the
// resumed ones; they are ignored here and arrive again in order.
func (c *consumer) listenHub(ctx context.Context, conn int) error {
	hub, err := c.dialHub(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = hub.Vanish() })() // the connection may be closed already
	defer func() { _ = hub.Vanish() }()
	ended := make(chan struct{})
	var pings sync.WaitGroup
	pings.Go(func() { keepAlive(hub, ended) })
	defer pings.Wait()
	defer close(ended)
	from := c.resumeFrom()
	last, err := json.Marshal([]string{from})
	if err != nil {
		return err
	}
	resume, err := hub.Invoke("Resume", string(last))
	if err != nil {
		return err
	}
	c.ledger.note(checker.Entry{Kind: checker.Watching, Consumer: c.name, Conn: conn})
	var events []signalrclient.Event
	for resumed := from == ""; ; {
		if events, err = hub.Next(events[:0], true); err != nil {
			return err
		}
		for i := range events {
			if e := &events[i]; e.Completion == resume {
				resumed, err = true, c.resumeError(conn, e)
			} else if resumed {
				err = c.handleInvocation(conn, e)
			}
			if err != nil {
				return err
			}
		}
	}
}

// keepAlive pings until ended is closed: the server closes connections that are silent for 30 s.
func keepAlive(hub *signalrclient.Conn, ended <-chan struct{}) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = hub.Ping() // a lost connection shows at the next read
		case <-ended:
			return
		}
	}
}

func (c *consumer) dialHub(ctx context.Context) (*signalrclient.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	hub, err := signalrclient.Dial(ctx, signalrclient.Config{URL: c.at.url(), Path: signalrclient.BusinessPath, Token: c.fleet.secrets.APIKey, InQuery: true})
	var status *signalrclient.StatusError
	if errors.As(err, &status) && status.Status < http.StatusInternalServerError {
		return nil, &refusalError{signalrclient.BusinessPath, status.Error()}
	}
	return hub, err
}

// resumeError classifies the error of Resume: temporary, unknown position, or permanent refusal.
func (c *consumer) resumeError(conn int, e *signalrclient.Event) error {
	switch {
	case e.Error == "":
		return nil
	case strings.Contains(e.Error, "try_again"):
		return errors.New(e.Error)
	case strings.Contains(e.Error, "invalid_argument") && c.resumeFrom() != "":
		return c.positionLost(conn)
	default:
		return &refusalError{signalrclient.BusinessPath, e.Error}
	}
}

// handleInvocation processes a message that the hub sent to the client.
func (c *consumer) handleInvocation(conn int, e *signalrclient.Event) error {
	if e.Target == "Reset" {
		c.ledger.note(checker.Entry{Kind: checker.Reset, Consumer: c.name, Conn: conn})
		return nil
	}
	if e.Target != "" && len(e.Arguments) != 1 {
		return &refusalError{signalrclient.BusinessPath, fmt.Sprintf("%s has %d arguments", e.Target, len(e.Arguments))}
	}
	switch e.Target {
	case "MessageStatusChanged":
		return c.recordEvent(conn, "", e.Arguments[0])
	case "Checkpoint":
		var position string
		if err := json.Unmarshal(e.Arguments[0], &position); err != nil {
			return err
		}
		c.setPosition(position)
	}
	return nil
}
