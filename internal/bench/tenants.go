package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// levels lists the SLA levels, lowest first, each with its built-in plan.
var levels = [...]struct{ level, plan string }{{"basic", "default"}, {"premium", "premium"}, {"enterprise", "enterprise"}}

// tenant is a business of one level with its callers. They honour Retry-After: a caller that is refused pauses for that
// time. Calls that fall due in the meantime, or while all callers are busy, are sent if a caller becomes free within
// patience; otherwise they count as missed.
type tenant struct {
	level string
	load  *load

	due, served, shed, limited, missed atomic.Int64

	mu     sync.Mutex
	accept *hdrhistogram.Histogram // due → 202, microseconds
	recent *hdrhistogram.Histogram // the same since the last sample
	late   *hdrhistogram.Histogram // due → sent
}

// patience is the largest delay after which a call is still sent.
const patience = time.Second

// counts are the totals of a tenant so far.
type counts struct{ due, served, shed, missed int64 }

func (g *tenant) counts() counts {
	return counts{g.due.Load(), g.served.Load(), g.shed.Load() + g.limited.Load(), g.missed.Load()}
}

// recentP99 returns the 99th percentile of accepted calls since its previous call, in milliseconds.
func (g *tenant) recentP99() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.recent.Reset()
	return float64(g.recent.ValueAtQuantile(99)) / 1000
}

// open calls at a rate until stop.
func (g *tenant) open(rate float64, measured *atomic.Bool, stop <-chan struct{}) error {
	start, gap := time.Now(), float64(time.Second)/rate
	var turn atomic.Int64
	return g.load.each(func(c *caller) error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			due := start.Add(time.Duration(float64(turn.Add(1)-1) * gap))
			timer.Reset(time.Until(due))
			select {
			case <-stop:
				return nil
			case <-timer.C:
			}
			g.due.Add(1)
			if time.Since(due) > patience {
				g.missed.Add(1)
				continue
			}
			away, err := g.callOnce(c, due, measured)
			if err != nil {
				return err
			}
			if away > 0 {
				timer.Reset(away)
				select {
				case <-stop:
					return nil
				case <-timer.C:
				}
			}
		}
	})
}

// callOnce makes a call and returns how long the caller must pause.
func (g *tenant) callOnce(c *caller, due time.Time, measured *atomic.Bool) (away time.Duration, err error) {
	l := g.load.ledger
	if measured.Load() {
		g.mu.Lock()
		_ = g.late.RecordValue(min(max(time.Since(due).Microseconds(), 1), highest)) // within its bounds
		g.mu.Unlock()
	}
	n := l.begin(due)
	status, _, err := c.call(n, recipientOf(n%g.load.recipients))
	if err != nil {
		return 0, fmt.Errorf("call %d of %s: %w", n, g.level, err)
	}
	l.answered(status, due)
	switch status {
	case http.StatusAccepted:
		g.served.Add(1)
		if measured.Load() {
			g.mu.Lock()
			took := min(max(time.Since(due).Microseconds(), 1), highest)
			_ = errors.Join(g.accept.RecordValue(took), g.recent.RecordValue(took)) // within their bounds
			g.mu.Unlock()
		}
		return 0, nil
	case http.StatusServiceUnavailable:
		g.shed.Add(1)
	case http.StatusTooManyRequests:
		g.limited.Add(1)
	default:
		return 0, fmt.Errorf("call %d of %s: answered %d", n, g.level, status)
	}
	return time.Duration(c.retryAfter) * time.Second, nil
}

// tenantLoad holds a tenant of each level.
type tenantLoad []*tenant

// newTenantLoad creates the tenants and connects the same number of callers for each.
func newTenantLoad(ctx context.Context, s *server, callers, recipients, size int, l *ledger) (c tenantLoad, err error) {
	for _, one := range levels {
		key, err := newBusiness(ctx, s, one.level, one.plan)
		if err != nil {
			c.close()
			return nil, err
		}
		ld, err := dialLoad(ctx, []string{s.addr}, messageFormat(key), callers, recipients, size, l)
		if err != nil {
			c.close()
			return nil, err
		}
		c = append(c, &tenant{level: one.level, load: ld, accept: hdrhistogram.New(1, highest, 3), recent: hdrhistogram.New(1, highest, 3), late: hdrhistogram.New(1, highest, 3)})
	}
	return c, nil
}

func (c tenantLoad) close() {
	for _, g := range c {
		g.load.close()
	}
}

// each runs f for every tenant concurrently and returns the first error.
func (c tenantLoad) each(f func(*tenant) error) error {
	var all errgroup.Group
	for _, g := range c {
		all.Go(func() error { return f(g) })
	}
	return all.Wait()
}

// newBusiness creates a business with a plan and returns an API key of it.
func newBusiness(ctx context.Context, s *server, name, plan string) (key string, err error) {
	var business struct{ ID string }
	if err := s.admin(ctx, "/admin/v1/businesses", fmt.Sprintf(`{"name":%q,"plan":%q}`, name, plan), &business); err != nil {
		return "", err
	}
	var made struct{ APIKey string }
	err = s.admin(ctx, "/admin/v1/businesses/"+business.ID+"/keys", `{}`, &made)
	return made.APIKey, err
}

// admin makes a call with the admin token that creates something.
func (s *server) admin(ctx context.Context, path, body string, into any) error {
	return s.request(ctx, http.MethodPost, path, s.secrets.AdminToken, []byte(body), into)
}

// request makes a call and decodes the answer, unless into is nil. A status other than 2xx is an error.
func (s *server) request(ctx context.Context, method, path, token string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.node.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// profile returns a profile of net/http/pprof.
func (s *server) profile(ctx context.Context, name string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.node.URL+"/debug/pprof/"+name, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.secrets.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("profile %s: %s", name, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
