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

// slowLog is a log whose readers wait while it is held. Its tail is told at once.
type slowLog struct {
	esh3ar.EventLog
	held sync.Mutex
}

func (l *slowLog) Events(ctx context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	l.held.Lock()
	defer l.held.Unlock()
	return l.EventLog.Events(ctx, q)
}

// office is a node with the hub of the businesses, and one business on it.
type office struct {
	*testing.T
	log      *slowLog
	store    *embedded.Store
	business esh3ar.BusinessID
	conn     *signalrclient.Conn
	waiting  []signalrclient.Event
}

func openOffice(t *testing.T) *office {
	t.Helper()
	store, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := &office{T: t, log: &slowLog{EventLog: store}, store: store, business: made.Secrets.BusinessID}
	keys, feed := auth.NewKeys(store, time.Now), eventfeed.New(o.log, eventfeed.Options{Poll: 5 * time.Millisecond})
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
	if o.conn, err = signalrclient.Dial(t.Context(), signalrclient.Config{URL: web.URL, Path: hub.BusinessPath, Token: made.Secrets.APIKey}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.conn.Vanish(); stop(); group.Wait(); web.Close(); _ = store.Close() })
	return o
}

// send accepts a message.
func (o *office) send() string {
	o.Helper()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: o.business, From: "default", Recipient: 967771234567, Content: "hello"}
	if _, err := o.store.Append(o.Context(), []*esh3ar.Call{{Business: o.business, Messages: []*esh3ar.Message{m}}}); err != nil {
		o.Fatal(err)
	}
	return m.ID.String()
}

// resume calls Resume and gives what came up to its completion.
func (o *office) resume(from string) (before []signalrclient.Event, failed string) {
	o.Helper()
	argument, err := json.Marshal([]string{from})
	if err != nil {
		o.Fatal(err)
	}
	id, err := o.conn.Invoke("Resume", string(argument))
	if err != nil {
		o.Fatal(err)
	}
	for {
		e := o.next()
		if e.Completion == id {
			return before, e.Error
		}
		before = append(before, e)
	}
}

func (o *office) next() (e signalrclient.Event) {
	o.Helper()
	if len(o.waiting) == 0 {
		events, err := o.conn.Next(nil, true)
		if err != nil {
			o.Fatal(err)
		}
		o.waiting = events
	}
	e, o.waiting = o.waiting[0], o.waiting[1:]
	return e
}

// change is the next status change; checkpoints are passed over.
func (o *office) change() (message string) {
	o.Helper()
	for {
		e := o.next()
		if e.Target != "MessageStatusChanged" {
			continue
		}
		var change struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(e.Arguments[0], &change); err != nil {
			o.Fatal(err)
		}
		return change.MessageID
	}
}

// TestAskingForCheckpointsLosesNothing asks for them while a change is on its way to the connection, on a node where nothing
// has happened before. The change comes, and it comes again to whoever resumes from the checkpoint.
func TestAskingForCheckpointsLosesNothing(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
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
