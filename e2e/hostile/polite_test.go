package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// polite is a well-behaved business with its phones. It calls at a steady rate, its phones acknowledge, and it remembers what was
// answered 202 and what has arrived.
type polite struct {
	c      *cluster
	key    string
	phones []string // numbers
	mu     struct {
		sync.Mutex
		sentAt    map[string]time.Time // content → when it was called
		accepted  map[string]bool
		arrived   map[string]bool
		phase     *phase
		connected int  // of the phones, in all
		paused    bool // no more calls
		open      int  // calls without an answer
	}
}

// phase is what the polite clients meet for some time.
type phase struct {
	calls      int
	open       int             // calls without an answer; the other fields are read when it is 0
	answered   []time.Duration // call → 202
	delivered  []time.Duration // call → phone, of calls of this phase
	refused    map[string]int  // by status or error
	reconnects int
}

const (
	callEvery = 25 * time.Millisecond
	pingEvery = 5 * time.Second
)

// startPolite starts the polite clients; they end with ctx, and done returns when they have.
func startPolite(ctx context.Context, c *cluster) (p *polite, done func()) {
	p = &polite{c: c, key: c.secrets.APIKey}
	p.mu.sentAt, p.mu.accepted, p.mu.arrived, p.mu.phase = map[string]time.Time{}, map[string]bool{}, map[string]bool{}, newPhase()
	var group sync.WaitGroup
	for i, node := range c.nodes {
		number := fmt.Sprintf("+96777000000%d", i+1)
		p.phones = append(p.phones, number)
		token := c.token(number, "polite")
		group.Go(func() { p.phone(ctx, node.URL, token) })
	}
	c.await("the phones are connected", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.connected == len(p.phones)
	})
	group.Go(func() { p.business(ctx, &group) })
	return p, group.Wait
}

func newPhase() *phase { return &phase{refused: map[string]int{}} }

// begin starts another phase and returns the one that it ends.
func (p *polite) begin() *phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.mu.phase
	p.mu.phase = newPhase()
	return last
}

// end starts another phase and returns the one that it ends, once each of its calls is answered or has failed: a slow answer
// counts as one.
func (p *polite) end() *phase {
	last := p.begin()
	p.c.await("the calls of the phase are answered", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return last.open == 0
	})
	return last
}

// business calls at a steady rate, whether or not earlier calls are answered.
func (p *polite) business(ctx context.Context, group *sync.WaitGroup) {
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	targets := []string{p.c.gateway.URL, p.c.gateway.URL, p.c.nodes[0].URL, p.c.nodes[1].URL}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !p.open() {
			continue
		}
		group.Go(func() { p.call(targets[i%len(targets)], p.phones[i/2%len(p.phones)], fmt.Sprint("polite ", i)) })
	}
}

// open counts a call that begins, and reports false if no more are to begin.
func (p *polite) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.paused {
		p.mu.open++
	}
	return !p.mu.paused
}

// pauseCalls ends the calls and waits until the last is answered.
func (p *polite) pauseCalls() {
	p.mu.Lock()
	p.mu.paused = true
	p.mu.Unlock()
	p.c.await("the last calls are answered", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.open == 0
	})
}

// call sends one message; its outcome belongs to the phase in which it was sent.
func (p *polite) call(target, number, content string) {
	began := time.Now()
	p.mu.Lock()
	in := p.mu.phase
	in.calls++
	in.open++
	p.mu.sentAt[content] = began
	p.mu.Unlock()
	priority := "normal"
	outcome := p.post(target, fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":%q,"priority":%q}`, number, content, priority))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.open--
	in.open--
	if outcome != "202" {
		in.refused[outcome]++
		return
	}
	p.mu.accepted[content] = true
	in.answered = append(in.answered, time.Since(began))
}

// post returns the status of a call with the code of its problem, or why there was none.
func (p *polite) post(target, body string) string {
	req, err := http.NewRequest(http.MethodPost, target+"/v1/messages", strings.NewReader(body)) // outlives the test's context: its outcome counts
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == http.StatusAccepted {
		return "202"
	}
	var problem struct{ Code string }
	_ = json.Unmarshal(text, &problem) // what is no problem document has no code
	return fmt.Sprintf("%d %s at %s", resp.StatusCode, problem.Code, target)
}

// phone stays connected until ctx ends.
func (p *polite) phone(ctx context.Context, url, token string) {
	for ctx.Err() == nil {
		err := p.connect(ctx, url, token)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.mu.phase.reconnects++
		p.mu.phase.refused[fmt.Sprintf("phone at %s: %v", url, err)]++
		p.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}

// connect is one connection of a phone.
func (p *polite) connect(ctx context.Context, url, token string) error {
	dialing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := signalrclient.Dial(dialing, signalrclient.Config{URL: url, Token: token})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Vanish() })()
	p.mu.Lock()
	p.mu.connected++
	p.mu.Unlock()
	pinged, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the connection
		for tick := time.NewTicker(pingEvery); ; {
			select {
			case <-pinged.Done():
				tick.Stop()
				return
			case <-tick.C:
				_ = conn.Ping() // the reader learns of the end
			}
		}
	}()
	var events []signalrclient.Event
	for {
		if events, err = conn.Next(events[:0], true); err != nil {
			return err
		}
		if err := p.receive(conn, events); err != nil {
			return err
		}
	}
}

// receive notes what has arrived and acknowledges it.
func (p *polite) receive(conn *signalrclient.Conn, events []signalrclient.Event) error {
	now := time.Now()
	var ids []string
	p.mu.Lock()
	for _, e := range events {
		for _, m := range e.Messages {
			ids = append(ids, `"`+m.ID+`"`)
			if sent, known := p.mu.sentAt[m.Content]; known && !p.mu.arrived[m.Content] {
				p.mu.arrived[m.Content] = true
				p.mu.phase.delivered = append(p.mu.phase.delivered, now.Sub(sent))
			}
		}
	}
	p.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), 100)
		if _, err := conn.Invoke("AcknowledgeMessages", "[["+strings.Join(ids[:n], ",")+"]]"); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// missing returns what was accepted and has not arrived.
func (p *polite) missing() (contents []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for content := range p.mu.accepted {
		if !p.mu.arrived[content] {
			contents = append(contents, content)
		}
	}
	return contents
}

// p99 returns the 99th percentile; 0 of nothing.
func p99(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)*99-1)/100]
}

// String is one line.
func (f *phase) String() string {
	return fmt.Sprintf("%d calls, p99 to 202 %s, to the phone %s, refused %v, %d reconnects",
		f.calls, p99(f.answered).Round(time.Millisecond), p99(f.delivered).Round(time.Millisecond), f.refused, f.reconnects)
}
