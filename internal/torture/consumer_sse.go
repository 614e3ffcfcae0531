package torture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// maxEvent bounds one line of the stream, in bytes.
const maxEvent = 1 << 20

// pace describes how a consumer reads a stream.
type pace struct {
	drop  int // events after which it drops the connection; zero: never
	naps  int // mean number of events between two pauses; zero: no pauses
	sleep func() error
}

// listenSSE runs one connection to GET /v1/events.
func (c *consumer) listenSSE(ctx context.Context, conn int, p pace) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.at.url()+"/v1/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.fleet.secrets.APIKey)
	req.Header.Set("Accept", "text/event-stream")
	last := c.resumeFrom()
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.streams.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnprocessableEntity && last != "":
		return c.positionLost(conn)
	case resp.StatusCode != http.StatusOK:
		return refusal(resp)
	}
	c.ledger.note(checker.Entry{Kind: checker.Watching, Consumer: c.name, Conn: conn})
	return c.readSSE(resp.Body, conn, p)
}

// refusal returns a *refusalError for a permanent refusal and a plain error if the node is starting or overloaded.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // a partial text is enough for the error
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return &refusalError{resp.Request.URL.Path, fmt.Sprintf("%s %s", resp.Status, text)}
}

var errDropped = errors.New("connection dropped by the consumer's pace")

// readSSE parses the stream as the HTML standard defines it, limited to what the server uses: fields until an empty
// line, comments ignored.
func (c *consumer) readSSE(body io.Reader, conn int, p pace) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
	var kind, id string
	var data []byte
	for seen := 0; lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() != "":
			switch name {
			case "event":
				kind = value
			case "id":
				id = value
			case "data":
				data = append(data, value...)
			}
			continue
		case kind == "reset":
			c.ledger.note(checker.Entry{Kind: checker.Reset, Consumer: c.name, Conn: conn})
		case kind == "message.status":
			if err := c.recordEvent(conn, id, data); err != nil {
				return err
			}
			c.setPosition(id)
			if seen++; seen == p.drop {
				return errDropped
			}
			if p.naps > 0 && c.random.IntN(p.naps) == 0 {
				if err := p.sleep(); err != nil {
					return err
				}
			}
		}
		kind, data = "", data[:0]
	}
	return lines.Err()
}
