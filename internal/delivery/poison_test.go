package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// crashingApp is a phone whose app ends when it gets a message that begins with "poison", and is opened again at once. It
// acknowledges the others.
type crashingApp struct {
	t       *testing.T
	h       *fixture
	device  delivery.Device
	ids     map[string]esh3ar.MessageID // by content
	crashes int
	got     []string // what it acknowledged
	phone   *socket
	session *delivery.Session
}

// use runs the app until the condition holds, or until a number of crashes is reached.
func (a *crashingApp) use(crashes int, so func() bool) {
	a.t.Helper()
	eventually(a.t, func() bool {
		if a.crashes >= crashes || so() {
			return true
		}
		if a.phone == nil {
			a.phone = &socket{}
			a.session = a.h.engine.Connect(a.device, a.phone)
		}
		a.look()
		return false
	}, func() string { return fmt.Sprintf("got %v after %d crashes", a.got, a.crashes) })
	if !so() {
		a.t.Fatalf("after %d crashes: got %v", a.crashes, a.got)
	}
}

// look reads the received messages, and crashes or acknowledges.
func (a *crashingApp) look() {
	received := a.phone.received()
	if slices.ContainsFunc(received, func(m string) bool { return strings.HasPrefix(m, "poison") }) {
		a.session.Close(true)
		a.phone = nil
		a.crashes++
		return
	}
	for _, m := range received {
		content := m[:strings.IndexByte(m, '/')]
		if !slices.Contains(a.got, content) {
			a.got = append(a.got, content)
			acknowledge(a.t, a.session, a.ids[content])
		}
	}
	if a.phone.refreshed.Load() > 0 {
		a.session.Close(false)
		a.phone = nil
	}
}

// TestBreaker_PoisonOfOneBusiness_OthersGoAtOnce: the app of a phone crashes over the messages of one business. Later messages of
// other businesses in the same lane arrive after the crashes that open the breaker and one more crash for each such business.
// The crashing messages become dead letters while the others are delivered.
func TestBreaker_PoisonOfOneBusiness_OthersGoAtOnce(t *testing.T) {
	t.Parallel()
	for _, poisoners := range []int{1, 2} {
		t.Run(fmt.Sprint(poisoners), func(t *testing.T) {
			t.Parallel()
			h := open(t, delivery.Options{Rules: delivery.Rules{Breaker: delivery.BreakerRules{
				Pause: flow.Backoff{Base: 100 * time.Millisecond, Cap: 400 * time.Millisecond},
			}}})
			app := &crashingApp{t: t, h: h, device: delivery.Device{Recipient: alice, ID: "a"}, ids: map[string]esh3ar.MessageID{}}
			var poison []*esh3ar.Message
			for i := range poisoners {
				business := esh3ar.NewBusinessID()
				for j := range 3 {
					poison = append(poison, h.appendFrom(business, fmt.Sprintf("poison %d.%d", i, j), false))
				}
			}
			bank := esh3ar.NewBusinessID()
			send := func(content string) {
				app.ids[content] = h.appendFrom(bank, content, true).ID
			}
			send("code 1")
			// 3 open the breaker, 1 finds the first suspect. Each other suspect: 3 more, and 1 that finds it.
			app.use(4*poisoners+1, func() bool { return slices.Contains(app.got, "code 1") })
			for i := 2; i < 12; i++ { // the trials of the suspects crash the app, and only those
				code := fmt.Sprintf("code %d", i)
				send(code)
				app.use(app.crashes+3, func() bool { return slices.Contains(app.got, code) })
			}
			app.use(1000, func() bool {
				r, err := h.store.Message(t.Context(), poison[0].ID)
				return err == nil && r.Status == esh3ar.Failed
			})
		})
	}
}

// TestBreaker_MessageOnTrialNotAcknowledged_OthersGo: after some crashes a phone stays connected but does not acknowledge the messages
// of one business.
func TestBreaker_MessageOnTrialNotAcknowledged_OthersGo(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{Rules: delivery.Rules{AckTimeout: time.Hour, Breaker: delivery.BreakerRules{
		Pause: flow.Backoff{Base: 100 * time.Millisecond, Cap: 400 * time.Millisecond}, Patience: 200 * time.Millisecond,
	}}})
	h.appendFrom(esh3ar.NewBusinessID(), "not acknowledged", false)
	device := delivery.Device{Recipient: alice, ID: "a"}
	for range 3 {
		phone := &socket{}
		s := h.engine.Connect(device, phone)
		phone.await(t, "not acknowledged/1")
		s.Close(true)
	}
	phone := &socket{}
	s := h.engine.Connect(device, phone)
	defer s.Close(true)
	phone.await(t, "not acknowledged/1")
	var want []string
	for i := range 5 {
		h.append(fmt.Sprint(i), true)
		want = append(want, fmt.Sprintf("%d/1", i))
	}
	phone.await(t, append([]string{"not acknowledged/1"}, want...)...)
}

// TestLane_OldestNeverAcknowledged_OthersGo: a phone acknowledges all messages but one.
func TestLane_OldestNeverAcknowledged_OthersGo(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{Rules: delivery.Rules{
		AckTimeout: 50 * time.Millisecond, Backoff: flow.Backoff{Base: time.Hour, Cap: time.Hour},
	}})
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	h.append("not acknowledged", true)
	phone.await(t, "not acknowledged/1")
	phone.heard.Add(1)
	want := []string{"not acknowledged/1"}
	backsOff := time.Now().Add(500 * time.Millisecond)
	for i := 0; i < 100 || time.Now().Before(backsOff); i++ {
		m := h.append(fmt.Sprint(i), true)
		want = append(want, fmt.Sprintf("%d/1", i))
		phone.await(t, want...)
		acknowledge(t, s, m.ID)
	}
}
