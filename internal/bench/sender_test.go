package bench

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answers is a platform that returns the given statuses in turn, and the last one repeatedly; 0 breaks the connection.
type answers struct {
	mu     sync.Mutex
	status []int
	keys   []string
	at     []time.Time
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys, a.at = append(a.keys, r.Header.Get("Idempotency-Key")), append(a.at, time.Now())
	status := a.status[0]
	if len(a.status) > 1 {
		a.status = a.status[1:]
	}
	if status == 0 {
		return nil, errors.New("connection reset")
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
	if status == http.StatusServiceUnavailable {
		resp.Header.Set("Retry-After", "3")
	}
	return resp, nil
}

func playedSender(a *answers) *sender {
	s := newSender("http://node", "key", 2, 10, 20, newLedger())
	s.client = &http.Client{Transport: a}
	return s
}

// TestSender_Refused_RetriesWithSameKey also checks that no retry comes before Retry-After.
func TestSender_Refused_RetriesWithSameKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: []int{503, 0, 502, 429, 202}}
		s := playedSender(a)
		if err := s.send(t.Context(), s.ledger.begin(time.Now()), time.Now()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.keys, slices.Repeat([]string{"ramp-0"}, 5)) || a.at[1].Sub(a.at[0]) != 3*time.Second || a.at[2].Sub(a.at[1]) != defaultRetryPause {
			t.Errorf("calls %v at %v", a.keys, a.at)
		}
		if codes := s.reasons(); codes["503"] != 1 || codes["502"] != 1 || codes["429"] != 1 {
			t.Errorf("reasons: %v", codes)
		}
		if l := s.ledger; l.accepted.Load() != 1 || l.refused.Load() != 2 || s.unknown.Load() != 2 {
			t.Errorf("taken %d, refused %d, unknown %d", l.accepted.Load(), l.refused.Load(), s.unknown.Load())
		}
	})
}

// TestSender_Arrived_CountsMissingMessages checks each message by number: an arrival with unknown outcome must not hide
// a loss.
func TestSender_Arrived_CountsMissingMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := playedSender(&answers{status: []int{202}})
		for range 3 {
			if err := s.send(t.Context(), s.ledger.begin(time.Now()), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		s.ledger.arrived(0)
		s.ledger.arrived(1)
		s.ledger.arrived(s.ledger.begin(time.Now())) // of unknown outcome
		there, missing := s.arrived()
		if there != 2 || missing != 1 || !strings.Contains(s.ledger.verdict(missing), "lost 1") {
			t.Errorf("there %d, missing %d, %q", there, missing, s.ledger.verdict(missing))
		}
		s.ledger.arrived(2)
		if _, missing := s.arrived(); missing != 0 || s.ledger.verdict(missing) != "" {
			t.Errorf("missing %d, %q", missing, s.ledger.verdict(missing))
		}
	})
}

// TestSender_Follow_SendsAllDueMessages also checks that messages which are never accepted are abandoned.
func TestSender_Follow_SendsAllDueMessages(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int64{202: 21, 503: 0} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{status: []int{status}}
			s := playedSender(a)
			s.most = 50
			began := time.Now()
			r := &ramp{rates: []float64{10, 10}, stretch: 2050 * time.Millisecond}
			if err := s.follow(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			if s.due.Load() != 21 || s.ledger.accepted.Load() != want || want == 0 && took != r.within() {
				t.Errorf("%d: due %d, taken %d, after %s", status, s.due.Load(), s.ledger.accepted.Load(), took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := playedSender(&answers{status: []int{422}})
		if err := s.follow(t.Context(), &ramp{rates: []float64{10, 10}, stretch: time.Second}); err == nil || !strings.Contains(err.Error(), "answered 422") {
			t.Errorf("%v", err)
		}
	})
}
