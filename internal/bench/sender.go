package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// sender is a well-behaved business. Every call has an idempotency key. A message that was refused, or whose outcome is
// unknown, is sent again with its key after the time that the answer names. It uses net/http, since the cost of its
// calls is not measured and it must handle connections that a gateway closes.
type sender struct {
	url, apiKey string
	size        int // bytes of content
	recipients  int
	most        int // calls in flight
	ledger      *ledger
	client      *http.Client

	due     atomic.Int64
	unknown atomic.Int64 // answers 502, and connections that broke

	mu    sync.Mutex
	taken []int          // the numbers of the messages that were answered 202
	codes map[string]int // other answers by error code
}

func newSender(url, apiKey string, most, recipients, size int, l *ledger) *sender {
	return &sender{
		url: url + "/v1/messages", apiKey: apiKey, most: most, recipients: recipients, size: size, ledger: l, codes: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: most}, Timeout: time.Minute},
	}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// follow sends what falls due on a ramp in an open loop and waits for the answers. While the number of calls in flight
// is at its limit, due calls wait, and their latency includes the wait. Messages that are never accepted are abandoned
// at the end.
func (s *sender) follow(ctx context.Context, r *ramp) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(s.most)
	for after := time.Duration(0); after < r.duration(); after = r.next(after) {
		due := start.Add(after)
		if pause(ctx, time.Until(due)) != nil {
			break // Wait returns the reason
		}
		s.due.Add(1)
		calls.Go(func() error { return s.send(ctx, s.ledger.begin(due), due) })
	}
	return calls.Wait()
}

// send retries one call until it is accepted or ctx ends. An answer that a retry cannot change is an error.
func (s *sender) send(ctx context.Context, n int, due time.Time) error {
	for ctx.Err() == nil {
		status, away, err := s.call(ctx, n)
		switch {
		case err != nil || status == http.StatusBadGateway:
			s.unknown.Add(1)
		case status == http.StatusAccepted:
			s.ledger.answered(status, due)
			s.mu.Lock()
			s.taken = append(s.taken, n)
			s.mu.Unlock()
			return nil
		case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
			s.ledger.answered(status, due)
		default:
			return fmt.Errorf("call %d: answered %d", n, status)
		}
		_ = pause(ctx, away) // the loop checks ctx
	}
	return nil
}

// defaultRetryPause is the pause after an answer that has no Retry-After header.
const defaultRetryPause = 200 * time.Millisecond

// call makes one try; away is the pause before the next.
func (s *sender) call(ctx context.Context, n int) (status int, away time.Duration, err error) {
	body := fmt.Appendf(nil, `{"recipientPhoneNumber":"+%d","messageContent":"`, recipientOf(n%s.recipients))
	body = append(appendContent(body, n, s.size), `"}`...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.apiKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "ramp-"+strconv.Itoa(n))
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, defaultRetryPause, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		s.countRefusal(resp.StatusCode, text)
	}
	if seconds := numberOf(resp.Header.Get("Retry-After")); seconds > 0 {
		return resp.StatusCode, time.Duration(seconds) * time.Second, err
	}
	return resp.StatusCode, defaultRetryPause, err
}

// countRefusal counts refused calls by error code.
func (s *sender) countRefusal(status int, body []byte) {
	var problem struct{ Code string }
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		problem.Code = strconv.Itoa(status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[problem.Code]++
}

// reasons returns the error codes of refused calls with their counts.
func (s *sender) reasons() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.codes)
}

// arrived returns how many accepted messages have arrived at their phones, and how many have not.
func (s *sender) arrived() (there, missing int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.taken {
		if p := s.ledger.place(n); p != nil && p.came.Load() {
			there++
		} else {
			missing++
		}
	}
	return there, missing
}
