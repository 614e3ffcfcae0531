package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// story is a message from its acceptance to its receipt, with the node killed in between; it gives the changes that a
// consumer must have seen, per message.
type story struct {
	p        *platform
	messages []message
}

func (s *story) send(n int) {
	for range n {
		s.messages = append(s.messages, s.p.send("+967771000001", fmt.Sprint(len(s.messages)), "normal"))
	}
}

// complete reports whether changes contain every version of every message, first sightings in order.
func (s *story) complete(changes []statusChange) error {
	seen := map[string]int{}
	for _, c := range changes {
		if c.Version == seen[c.MessageID]+1 {
			seen[c.MessageID]++
		} else if c.Version > seen[c.MessageID] {
			return fmt.Errorf("version %d of %s came after %d", c.Version, c.MessageID, seen[c.MessageID])
		}
	}
	for _, m := range s.messages {
		var history struct{ Items []statusChange }
		s.p.call("GET", "/v1/messages/"+m.ID+"/events", s.p.secrets.APIKey, nil, &history)
		if seen[m.ID] != len(history.Items) {
			return fmt.Errorf("%d of %d changes of %s were seen", seen[m.ID], len(history.Items), m.ID)
		}
	}
	return nil
}

// TestBusinessHub_KillAndResume_SeesAllEvents follows messages with Microsoft's client and its checkpoints through a
// kill -9.
func TestBusinessHub_KillAndResume_SeesAllEvents(t *testing.T) {
	t.Parallel()
	p := start(t)
	s := &story{p: p}
	b := newDriver(p, "business.mjs")
	connect := func() {
		b.do(map[string]any{"command": "connect", "url": p.node.URL + "/business-user", "token": p.secrets.APIKey})
	}
	connect()
	s.send(1)
	for len(b.changes) == 0 {
		b.take("the first change")
	}
	if b.checkpoint != "" {
		t.Error("a client that never resumed got a checkpoint")
	}
	for range 20 { // checkpoints requested under load lose no event
		s.send(2)
		b.do(map[string]any{"command": "resume", "from": ""})
	}
	for err := s.complete(b.changes); b.checkpoint == "" || err != nil; err = s.complete(b.changes) {
		b.take(fmt.Sprintf("while connected: checkpoint %q, %v", b.checkpoint, err))
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	b.awaitState("closed")
	p.start()
	s.send(3)
	phone := newPhone(p, "+967771000001", "a", "each")
	phone.await(44)
	for _, m := range s.messages {
		p.awaitStatus(m.ID, "delivered")
	}
	connect()
	b.do(map[string]any{"command": "resume", "from": b.checkpoint})
	for err := s.complete(b.changes); err != nil; err = s.complete(b.changes) {
		b.take(fmt.Sprintf("what happened meanwhile: %v", err))
	}
	if _, text := b.try(map[string]any{"command": "invoke", "method": "Resume", "args": []any{"nonsense"}}); text == "" {
		t.Error("a bad lastEventId was taken")
	}
	for range 40 { // a resume under load reorders no event
		s.send(2)
		b.do(map[string]any{"command": "resume", "from": b.checkpoint})
	}
	phone.await(124)
	for _, m := range s.messages {
		p.awaitStatus(m.ID, "delivered")
	}
	for err := s.complete(b.changes); err != nil; err = s.complete(b.changes) {
		if strings.Contains(err.Error(), "came after") {
			t.Fatal(err)
		}
		b.take(err.Error())
	}
	stranger := newDriver(p, "business.mjs")
	if _, text := stranger.try(map[string]any{"command": "connect", "url": p.node.URL + "/business-user", "token": p.token("+967771000001", "a")}); text == "" {
		t.Error("a phone's token opened the hub of the businesses")
	}
}

// TestEvents_BrowserEventSource_ResumesAfterKill follows messages with the browser's EventSource, which reconnects
// automatically after a kill -9.
func TestEvents_BrowserEventSource_ResumesAfterKill(t *testing.T) {
	t.Parallel()
	p := start(t)
	s := &story{p: p}
	tab := page{t, browser(t)}
	tab.do(chromedp.Navigate(p.node.URL + "/demo/"))
	if _, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](`
		window.seen = []; window.opened = 0; window.resets = 0;
		window.source = new EventSource("/v1/events?access_token=`+p.secrets.APIKey+`");
		source.onopen = () => opened++;
		source.addEventListener("message.status", (e) => seen.push(JSON.parse(e.data)));
		source.addEventListener("reset", () => resets++);
		true`)); err != nil {
		t.Fatal(err)
	}
	seen := func() (changes []statusChange) {
		changes, err := chromedp.Run(tab.ctx, chromedp.Evaluate[[]statusChange](`seen`))
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	number := func(name string) int {
		n, err := chromedp.Run(tab.ctx, chromedp.Evaluate[int](name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var incomplete error
	whole, missing := func() bool { incomplete = s.complete(seen()); return incomplete == nil }, func() string { return incomplete.Error() }
	eventually(t, func() bool { return number("opened") >= 1 }, func() string { return "the stream did not open" })
	s.send(3)
	eventually(t, whole, missing)
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	p.start()
	s.send(3)
	phone := newPhone(p, "+967771000001", "a", "each")
	phone.await(6)
	for _, m := range s.messages {
		p.awaitStatus(m.ID, "delivered")
	}
	eventually(t, whole, missing)
	if opened, resets := number("opened"), number("resets"); opened < 2 || resets > 0 {
		t.Errorf("the stream was opened %d times, with %d resets", opened, resets)
	}
}
