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

// sender is a business as it should be: every call has an idempotency key, and a message that was not taken, or that nobody
// knows the outcome of, is sent again with its key when the answer says so. It goes through net/http: what its calls cost is not
// what is measured, and it has to follow a gateway that closes connections.
type sender struct {
	url, apiKey string
	size        int // bytes of content
	recipients  int
	most        int // calls under way at once
	ledger      *ledger
	client      *http.Client

	due     atomic.Int64
	unknown atomic.Int64 // answers 502, and connections that broke

	mu    sync.Mutex
	taken []int          // the numbers of the messages that were answered 202
	codes map[string]int // of the other answers
}

func newSender(url, apiKey string, most, recipients, size int, l *ledger) *sender {
	return &sender{
		url: url + "/v1/messages", apiKey: apiKey, most: most, recipients: recipients, size: size, ledger: l, codes: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: most}, Timeout: time.Minute},
	}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// follow sends what falls due on a ramp, whatever the answers take, and waits for the answers. While most calls are under way,
// what falls due waits until one of them is over: it is late, and its latency says so. What nobody takes is given up in the end.
func (s *sender) follow(ctx context.Context, r *ramp) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(s.most)
	for after := time.Duration(0); after < r.duration(); after = r.next(after) {
		due := start.Add(after)
		if pause(ctx, time.Until(due)) != nil {
			break // Wait knows why
		}
		s.due.Add(1)
		calls.Go(func() error { return s.send(ctx, s.ledger.begin(due), due) })
	}
	return calls.Wait()
}

// send repeats one call until it is taken, or ctx ends. An answer that another try cannot change is an error.
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
		_ = pause(ctx, away) // the loop asks ctx
	}
	return nil
}

// unsaid is how long to stay away where no answer says it.
const unsaid = 200 * time.Millisecond

// call is one try; away is how long to wait before the next.
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
		return 0, unsaid, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		s.countRefusal(resp.StatusCode, text)
	}
	if seconds := numberOf(resp.Header.Get("Retry-After")); seconds > 0 {
		return resp.StatusCode, time.Duration(seconds) * time.Second, err
	}
	return resp.StatusCode, unsaid, err
}

// countRefusal counts why calls were not taken.
func (s *sender) countRefusal(status int, body []byte) {
	var problem struct{ Code string }
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		problem.Code = strconv.Itoa(status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[problem.Code]++
}

// reasons are the codes of calls that were not taken, and how often each was answered.
func (s *sender) reasons() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.codes)
}

// arrived counts how many of the messages that were taken have come to their phones, and how many have not.
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
