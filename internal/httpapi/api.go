package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/account"
	"github.com/esh3artech/esh3ar/internal/notify"
	"github.com/esh3artech/esh3ar/internal/quota"
)

// Bounds of request bodies, in bytes.
const (
	maxBody      = 128 << 10
	maxBatchBody = 16 << 20
)

// submitter takes calls to the store: intake.
type submitter interface {
	Submit(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error)
}

// messages is what the edge reads of messages.
type messages interface {
	Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error)
	List(ctx context.Context, q esh3ar.ListQuery) (esh3ar.ListPage, error)
	History(ctx context.Context, id esh3ar.MessageID) ([]esh3ar.Event, error)
}

// accounts is what the edge changes of businesses.
type accounts interface {
	CreateBusiness(ctx context.Context, b esh3ar.Business) error
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
	esh3ar.PlanStore
	CreateKey(ctx context.Context, k esh3ar.APIKey) error
	RevokeKey(ctx context.Context, business esh3ar.BusinessID, key esh3ar.KeyID, at esh3ar.Time) error
}

// store is what the edge reads and changes without intake.
type store interface {
	esh3ar.Settler
	esh3ar.DeadLetters
	messages
	accounts
}

// Config is what an API is made of. All is needed but what says otherwise and Log, Now, Observe and Memory, which have
// defaults.
type Config struct {
	Intake submitter
	Store  store
	Keys   *account.Keys
	Plans  *account.Plans
	Quotas *quota.Book
	Admin  *account.Admin
	Tokens *account.Tokens
	Feed   *notify.Feed // for GET /v1/events
	Phones *account.Phones
	Lapsed func(r esh3ar.Recipient, id esh3ar.MessageID, life esh3ar.Life) // told of canceled messages
	// Entered is told of replayed messages, which are in the inbox again. Like all hints it may be left out.
	Entered  func(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life)
	Ready    func() error         // nil: ready; else why not
	Breakers func() BreakerReport // left out: there are none
	Nodes    func() []Node        // all that are known, this one too; left out: there are none
	Verifier esh3ar.Verifier      // nil: the store cannot be verified
	Spill    Spill                // nil: there is none
	Scaler   Scaler               // nil: the store of this node is its own
	// Drain has a node of the cluster drain, by its id; NotFound: there is none. nil: no node can.
	Drain   func(ctx context.Context, id, authorization string) error
	Metrics http.Handler
	// Draining ends the streams, which http.Server.Shutdown would wait for; nil: never.
	Draining context.Context //nolint:containedctx // a signal
	Log      *slog.Logger
	Now      func() time.Time
	Observe  func(route string, status int, took time.Duration) // after each request; must be quick
	// Memory bounds what large bodies and answers take at once, in bytes; default 256 MiB. Calls beyond it are answered
	// overloaded. Small ones, up to 16 KiB each, are bounded by the connections alone.
	Memory int64
}

// API is the REST edge, an http.Handler.
type API struct {
	Config
	table     table
	exchanges sync.Pool
	memory    atomic.Int64 // taken of Config.Memory
	verifying atomic.Bool
}

// New makes the API.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	if c.Entered == nil {
		c.Entered = func(esh3ar.Recipient, esh3ar.Seq, esh3ar.MessageID, esh3ar.Life) {}
	}
	if c.Drain == nil {
		c.Drain = func(context.Context, string, string) error {
			return esh3ar.Errorf(esh3ar.NotFound, "no node can be drained")
		}
	}
	if c.Breakers == nil {
		c.Breakers = func() BreakerReport { return BreakerReport{} }
	}
	if c.Nodes == nil {
		c.Nodes = func() []Node { return nil }
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Draining == nil {
		c.Draining = context.Background()
	}
	a := &API{Config: c}
	a.table = newTable(a.routes())
	a.exchanges.New = func() any { return &exchange{api: a, in: messageInput{phones: c.Phones}} }
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := a.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.begin(w, r)
	defer x.end()
	path, h := a.route(x)
	defer func() {
		x.survive(recover())
		x.observe(path)
	}()
	if err := h(x); err != nil {
		x.refuse(err)
	}
}

// route finds the handler of a request, and the name of its route for the metrics.
func (a *API) route(x *exchange) (path string, h handler) {
	r := a.table.find(x.r.URL.Path, &x.params)
	if r == nil {
		return "other", notThere
	}
	h, ok := r.methods[x.r.Method]
	if !ok {
		return r.path, r.wrongMethod
	}
	return r.path, h
}
