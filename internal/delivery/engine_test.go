package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice = esh3ar.Recipient(967771000001)

// fixture is a fixture of an engine with a real store.
type fixture struct {
	t      *testing.T
	store  *embedded.Store
	engine *delivery.Engine
}

func open(t *testing.T, opts delivery.Options) *fixture {
	t.Helper()
	store, err := embedded.Open(t.TempDir(), embedded.Options{SettleLinger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h := &fixture{t, store, delivery.New(store, opts)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// store stores a message and, if hinted, publishes it as ingest does.
func (h *fixture) append(content string, hinted bool) *esh3ar.Message {
	h.t.Helper()
	return h.appendFrom(esh3ar.NewBusinessID(), content, hinted)
}

func (h *fixture) appendFrom(business esh3ar.BusinessID, content string, hinted bool) *esh3ar.Message {
	h.t.Helper()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, Recipient: alice, Priority: esh3ar.Normal, Content: content}
	if _, err := h.store.Append(h.t.Context(), []*esh3ar.Call{{Business: m.Business, Messages: []*esh3ar.Message{m}}}); err != nil {
		h.t.Fatal(err)
	}
	if hinted {
		h.engine.Publish([]*esh3ar.Message{m})
	}
	return m
}

func (h *fixture) awaitStatus(id esh3ar.MessageID, want esh3ar.Status) {
	h.t.Helper()
	var got esh3ar.Record
	eventually(h.t, func() bool {
		var err error
		got, err = h.store.Message(h.t.Context(), id)
		return err == nil && got.Status == want
	}, func() string { return fmt.Sprintf("the message is %s, want %s", got.Status, want) })
}

func eventually(t *testing.T, so func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatal(otherwise())
		case <-tick.C:
		}
	}
}

// socket is a phone's connection.
type socket struct {
	heard     atomic.Int64
	full      atomic.Bool
	refreshed atomic.Int32 // how often it was asked to connect again
	answers   atomic.Bool  // probes
	probes    atomic.Int64 // asked
	mu        sync.Mutex
	got       []string // content and attempt, in order
}

func (s *socket) LastReceived() int64 { return s.heard.Load() }

func (s *socket) Refresh() { s.refreshed.Add(1) }

// Probe implements delivery.Conn. The phone answers at once, unless it is frozen to its network code.
func (s *socket) Probe(answered func()) {
	s.probes.Add(1)
	if s.answers.Load() {
		answered()
	}
}

func (s *socket) Push(b delivery.Batch) bool {
	if s.full.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range b.Pushes {
		s.got = append(s.got, fmt.Sprintf("%s/%d", p.Message.Content, p.Attempt))
	}
	return true
}

func (s *socket) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *socket) await(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() bool { return slices.Equal(s.received(), want) }, func() string {
		return fmt.Sprintf("received %v, want %v", s.received(), want)
	})
}

func acknowledge(t *testing.T, s *delivery.Session, ids ...esh3ar.MessageID) {
	t.Helper()
	done := make(chan error, 1)
	s.Acknowledge(ids, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestEngine_Publish_PushesAndSettles(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{})
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	m := h.append("hello", true)
	phone.await(t, "hello/1")
	h.awaitStatus(m.ID, esh3ar.Sent)
	acknowledge(t, s, m.ID)
	if got, err := h.store.Message(t.Context(), m.ID); err != nil || got.Status != esh3ar.Delivered {
		t.Errorf("the call completed and the message is %s, %v", got.Status, err)
	}
	read := make(chan error, 1)
	s.MarkAsRead([]esh3ar.MessageID{m.ID}, func(err error) { read <- err })
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	h.awaitStatus(m.ID, esh3ar.Read)
}

func TestEngine_RecipientOffline_MessageIsPending(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{})
	m := h.append("later", true)
	h.awaitStatus(m.ID, esh3ar.Pending)
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	phone.await(t, "later/1")
}

// TestSweep_HintLost_DeliversMessage: hints affect the latency of a delivery only, not its completeness.
func TestSweep_HintLost_DeliversMessage(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{SweepEvery: 20 * time.Millisecond})
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	first := h.append("hinted", true)
	phone.await(t, "hinted/1")
	acknowledge(t, s, first.ID)
	h.append("not hinted", false)
	phone.await(t, "hinted/1", "not hinted/1")
}

// TestStaleWalk_QueuedMessage_BecomesPending: the walk repairs the status after a crash between a commit and its routing.
func TestStaleWalk_QueuedMessage_BecomesPending(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{StaleAfter: time.Millisecond})
	m := h.append("routed by nobody", false)
	h.awaitStatus(m.ID, esh3ar.Pending)
}

func TestSession_FullConnection_ContinuesInOrder(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{})
	phone := &socket{}
	phone.full.Store(true)
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	for i := range 5 {
		h.append(fmt.Sprint(i), true)
	}
	eventually(t, func() bool { return h.engine.Stats().Refused > 0 }, func() string { return "nothing was refused" })
	phone.full.Store(false)
	s.Writable()
	phone.await(t, "0/1", "1/1", "2/1", "3/1", "4/1")
}

func TestSession_NoSignOfLife_DoesNotRedeliver(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{Rules: delivery.Rules{
		AckTimeout: 50 * time.Millisecond, Backoff: flow.Backoff{Base: 10 * time.Millisecond, Cap: 20 * time.Millisecond},
	}})
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	m := h.append("once", true)
	phone.await(t, "once/1")
	other := h.engine.Connect(delivery.Device{Recipient: alice}, &socket{}) // something else goes on meanwhile
	other.Close(true)
	if got := phone.received(); len(got) != 1 {
		t.Errorf("repeated to a silent phone: %v", got)
	}
	phone.heard.Add(1)
	eventually(t, func() bool { return slices.Contains(phone.received(), "once/2") }, func() string {
		return fmt.Sprintf("received %v, want a second attempt", phone.received())
	})
	acknowledge(t, s, m.ID)
	if got, err := h.store.Message(t.Context(), m.ID); err != nil || got.Attempts < 2 {
		t.Errorf("attempts %d, %v", got.Attempts, err)
	}
}

func TestSession_FirstAcknowledgement_SettlesForAllDevices(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{Rules: delivery.Rules{Window: 2}})
	one, two := &socket{}, &socket{}
	s1, s2 := h.engine.Connect(delivery.Device{Recipient: alice}, one), h.engine.Connect(delivery.Device{Recipient: alice}, two)
	defer s1.Close(true)
	defer s2.Close(true)
	var ids []esh3ar.MessageID
	for i := range 4 {
		ids = append(ids, h.append(fmt.Sprint(i), true).ID)
	}
	one.await(t, "0/1", "1/1")
	two.await(t, "0/1", "1/1")
	acknowledge(t, s1, ids[0], ids[1])
	one.await(t, "0/1", "1/1", "2/1", "3/1")
	two.await(t, "0/1", "1/1", "2/1", "3/1") // its window was freed by the other device
}

func TestAcknowledge_ForeignAndUnknownIDs_AreIgnored(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{})
	m := h.append("hers", true)
	stranger := h.engine.Connect(delivery.Device{Recipient: alice + 1}, &socket{})
	defer stranger.Close(true)
	acknowledge(t, stranger, m.ID, esh3ar.NewMessageID())
	h.awaitStatus(m.ID, esh3ar.Pending)
}

// TestEngine_ManySendersAndDevices_DeliversAll is for the race detector: many senders, devices that come and go, everything arrives.
func TestEngine_ManySendersAndDevices_DeliversAll(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{SweepEvery: 50 * time.Millisecond})
	const messages = 300
	var group sync.WaitGroup
	group.Go(func() {
		for i := range messages {
			h.append(fmt.Sprint(i), true)
		}
	})
	for range 3 {
		group.Go(func() {
			for range 20 {
				s := h.engine.Connect(delivery.Device{Recipient: alice}, &socket{})
				s.Writable()
				s.Close(true)
			}
		})
	}
	group.Wait()
	phone := &socket{}
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	acknowledged := 0
	eventually(t, func() bool {
		got := phone.received()
		if len(got) > acknowledged {
			records, err := h.store.Since(t.Context(), alice, 0, 0, messages)
			if err != nil {
				t.Fatal(err)
			}
			var ids []esh3ar.MessageID
			for _, r := range records[:len(got)] {
				ids = append(ids, r.ID)
			}
			acknowledged = len(got)
			acknowledge(t, s, ids...)
		}
		return len(got) == messages
	}, func() string { return fmt.Sprintf("%d of %d arrived", len(phone.received()), messages) })
	for i, got := range phone.received() {
		if want := fmt.Sprintf("%d/1", i); got != want {
			t.Fatalf("message %d is %s", i, got)
		}
	}
}

func BenchmarkIdleSession(b *testing.B) {
	e := delivery.New(nil, delivery.Options{})
	b.ReportAllocs()
	for i := range b.N {
		e.Connect(delivery.Device{Recipient: esh3ar.Recipient(i)}, &socket{})
	}
}

// TestBreaker_DeviceKeepsFailing_OpensAndRecovers: its breaker opens and nothing is pushed; half open it gets one message at a
// time; when it has acknowledged all that waited, the breaker closes.
func TestBreaker_DeviceKeepsFailing_OpensAndRecovers(t *testing.T) {
	t.Parallel()
	states := make(chan delivery.BreakerState, 10)
	pause := flow.Backoff{Base: 200 * time.Millisecond, Cap: 200 * time.Millisecond}
	h := open(t, delivery.Options{
		Rules:     delivery.Rules{Breaker: delivery.BreakerRules{Pause: pause}},
		OnBreaker: func(info delivery.BreakerInfo) { states <- info.State },
	})
	var sent []*esh3ar.Message
	for i := range 5 {
		sent = append(sent, h.append(fmt.Sprint(i), false))
	}
	device := delivery.Device{Recipient: alice, ID: "crashes"}
	for range 3 {
		phone := &socket{}
		s := h.engine.Connect(device, phone)
		eventually(t, func() bool { return len(phone.received()) == 5 }, func() string { return fmt.Sprint(phone.received()) })
		s.Close(true)
	}
	if state := <-states; state != delivery.Open {
		t.Fatalf("the breaker is %s", state)
	}
	if list, opened, _ := h.engine.Breakers(10); opened+len(list) < 1 {
		t.Error("the breaker is not listed")
	}
	other := &socket{}
	fine := h.engine.Connect(delivery.Device{Recipient: alice, ID: "another"}, other)
	defer fine.Close(true)
	eventually(t, func() bool { return len(other.received()) == 5 }, func() string { return "another device of the user got " + fmt.Sprint(other.received()) })

	phone := &socket{}
	s := h.engine.Connect(device, phone)
	defer s.Close(true)
	eventually(t, func() bool { return len(phone.received()) == 1 }, func() string { return fmt.Sprint(phone.received()) })
	for _, m := range sent { // whatever else happens meanwhile, no second message comes before an acknowledgement
		if r, err := h.store.Message(t.Context(), m.ID); err != nil || r.Status.Ends() {
			t.Errorf("%s is %s, %v", m.Content, r.Status, err)
		}
	}
	if got := phone.received(); len(got) != 1 {
		t.Errorf("half open: got %v", got)
	}
	for i, m := range sent {
		eventually(t, func() bool { return len(phone.received()) == i+1 }, func() string { return fmt.Sprint(phone.received()) })
		acknowledge(t, s, m.ID)
	}
	if state := <-states; state != delivery.Closed {
		t.Errorf("the breaker is %s", state)
	}
}

// quickRules have short timeouts and backoffs.
var quickRules = delivery.Rules{
	AckTimeout: 50 * time.Millisecond, Attempts: 3, Backoff: flow.Backoff{Base: 10 * time.Millisecond, Cap: 20 * time.Millisecond},
}

// TestSession_ProbeAnswered_Repeats: a silent application does not delay redeliveries while its network code answers probes. The
// message does not become a dead letter until the application itself was heard.
func TestSession_ProbeAnswered_Repeats(t *testing.T) {
	t.Parallel()
	h := open(t, delivery.Options{Rules: quickRules})
	phone := &socket{}
	phone.answers.Store(true)
	s := h.engine.Connect(delivery.Device{Recipient: alice}, phone)
	defer s.Close(true)
	m := h.append("once", true)
	phone.await(t, "once/1", "once/2", "once/3")
	eventually(t, func() bool { return phone.probes.Load() == 3 }, func() string { return "the last push was not probed" })
	if got, err := h.store.Message(t.Context(), m.ID); err != nil || got.Status.Ends() {
		t.Errorf("the message of a frozen application is %s, %v, want sent", got.Status, err)
	}
	phone.heard.Add(1)
	h.awaitStatus(m.ID, esh3ar.Failed)
}
