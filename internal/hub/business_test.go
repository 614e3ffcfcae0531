package hub_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/signalr"
)

// slowLog is an event log whose reads block while it is held. The position of its tail is returned immediately.
type slowLog struct {
	esh3ar.EventLog
	held sync.Mutex
}

func (l *slowLog) Events(ctx context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	l.held.Lock()
	defer l.held.Unlock()
	return l.EventLog.Events(ctx, q)
}

// fixture is a node with the business hub and one business.
type fixture struct {
	*testing.T
	log      *slowLog
	store    *embedded.Store
	business esh3ar.BusinessID
	conn     *signalrclient.Conn
	waiting  []signalrclient.Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, log: &slowLog{EventLog: store}, store: store, business: made.Secrets.BusinessID}
	keys, feed := auth.NewKeys(store, time.Now), eventfeed.New(f.log, eventfeed.Options{Poll: 5 * time.Millisecond})
	server := signalr.NewServer(hub.Business(feed, keys, opaque.NewEphemeral()), signalr.Options{
		Authenticate: hub.AuthenticateBusiness(keys),
		OnPanic:      func(p signalr.Panic) { t.Errorf("recovered panic in %s: %v\n%s", p.Where, p.Value, p.Stack) },
	})
	mux := http.NewServeMux()
	server.Mount(mux, hub.BusinessPath)
	web := httptest.NewServer(mux)
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = server.Run(ctx) })
	group.Go(func() { _ = feed.Run(ctx) })
	if f.conn, err = signalrclient.Dial(t.Context(), signalrclient.Config{URL: web.URL, Path: hub.BusinessPath, Token: made.Secrets.APIKey}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.conn.Vanish(); stop(); group.Wait(); web.Close(); _ = store.Close() })
	return f
}

// send stores a message.
func (f *fixture) send() string {
	f.Helper()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: f.business, From: "default", Recipient: 967771234567, Content: "hello"}
	if _, err := f.store.Append(f.Context(), []*esh3ar.Call{{Business: f.business, Messages: []*esh3ar.Message{m}}}); err != nil {
		f.Fatal(err)
	}
	return m.ID.String()
}

// resume calls Resume and returns what was received until its completion.
func (f *fixture) resume(from string) (before []signalrclient.Event, failed string) {
	f.Helper()
	argument, err := json.Marshal([]string{from})
	if err != nil {
		f.Fatal(err)
	}
	id, err := f.conn.Invoke("Resume", string(argument))
	if err != nil {
		f.Fatal(err)
	}
	for {
		e := f.next()
		if e.Completion == id {
			return before, e.Error
		}
		before = append(before, e)
	}
}

func (f *fixture) next() signalrclient.Event {
	var e signalrclient.Event
	f.Helper()
	if len(f.waiting) == 0 {
		events, err := f.conn.Next(nil, true)
		if err != nil {
			f.Fatal(err)
		}
		f.waiting = events
	}
	e, f.waiting = f.waiting[0], f.waiting[1:]
	return e
}

// change returns the next status event and skips checkpoints.
func (f *fixture) change() (message string) {
	f.Helper()
	for {
		e := f.next()
		if e.Target != "MessageStatusChanged" {
			continue
		}
		var change struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(e.Arguments[0], &change); err != nil {
			f.Fatal(err)
		}
		return change.MessageID
	}
}

// TestResume_Empty_EnablesCheckpointsWithoutLoss enables checkpoints while an event is in transit, on a node without earlier
// events. The event must arrive, and arrive again after a Resume from the checkpoint.
func TestResume_Empty_EnablesCheckpointsWithoutLoss(t *testing.T) {
	t.Parallel()
	o := newFixture(t)
	for _, bad := range []string{"nonsense", "ffffffffffffffff"} {
		if _, failed := o.resume(bad); failed == "" {
			t.Errorf("lastEventId %q was taken", bad)
		}
	}
	o.log.held.Lock()
	first := o.send()
	before, failed := o.resume("")
	o.log.held.Unlock()
	if failed != "" || len(before) != 1 || before[0].Target != "Checkpoint" {
		t.Fatalf("%q, %+v, want a checkpoint", failed, before)
	}
	var checkpoint string
	if err := json.Unmarshal(before[0].Arguments[0], &checkpoint); err != nil || checkpoint == "" {
		t.Fatalf("checkpoint %q: %v", checkpoint, err)
	}
	o.send()
	if got := o.change(); got != first {
		t.Errorf("the first change is of %s, want %s", got, first)
	}
	if _, failed := o.resume(checkpoint); failed != "" {
		t.Fatal(failed)
	}
	if got := o.change(); got != first {
		t.Errorf("behind the checkpoint the first change is of %s, want %s", got, first)
	}
}
