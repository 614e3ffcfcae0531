package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// Bounds of request bodies, in bytes.
const (
	maxBody      = 128 << 10
	maxBatchBody = 16 << 20
)

const (
	// leastMemory is what one business may have of Config.Memory whenever there is so much, in bytes: the buffers of one
	// batch of the largest size.
	leastMemory = 2 * maxBatchBody
	// maxQueries bounds the reads of many rows that run at once: half of the connections to a PostgreSQL database.
	maxQueries = 8
	// maxQueriesWaiting bounds the reads of one business that wait for their turn.
	maxQueriesWaiting = 64
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
	esh3ar.KeyReader
	esh3ar.DeadLetters
	messages
	accounts
}

// Config is what an API is made of. All is needed but what says otherwise and Log, Now, Observe and Memory, which have
// defaults.
type Config struct {
	Intake submitter
	Store  store
	Keys   *auth.Keys
	Plans  *auth.Plans
	Quotas *ratelimit.Book
	// Recipients hold businesses to what they may send to one recipient; nil: nothing does.
	Recipients *ratelimit.Recipients
	// Known looks an idempotency key up; nil: the store's KnownKey.
	Known  func(ctx context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error)
	Admin  *auth.Admin
	Tokens *auth.Tokens
	// Credentials changes signing keys, revokes tokens and makes admin tokens; nil: this node changes none.
	Credentials *auth.Credentials
	Feed        *eventfeed.Feed // for GET /v1/events
	Phones      *auth.Phones
	// Cursors seal the ids of events and the cursors of lists. nil: a sealer whose secret ends with the process.
	Cursors *opaque.Sealer
	Lapsed  func(r esh3ar.Recipient, id esh3ar.MessageID, life esh3ar.Life) // told of canceled messages
	// Entered is told of replayed messages, which are in the inbox again. Like all hints it may be left out.
	Entered  func(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life)
	Ready    func() error         // nil: ready; else why not
	Breakers func() BreakerReport // left out: there are none
	Nodes    func() []Node        // all that are known, this one too; left out: there are none
	Verifier esh3ar.Verifier      // nil: the store cannot be verified
	Spill    Spill                // nil: there is none
	Scaler   Scaler               // nil: the store of this node is its own
	// Drain has a node of the cluster drain, by its id, or with drain false take calls again; NotFound: there is none. nil: no
	// node can.
	Drain   func(ctx context.Context, id, authorization string, drain bool) error
	Metrics http.Handler
	// Panicked is told of a handler's panic; left out: the log is.
	Panicked func(cause any)
	// Draining returns the signal that ends the streams, which http.Server.Shutdown would wait for: when the node drains. A node
	// that takes calls again has a new one. nil: never.
	Draining func() context.Context
	Log      *slog.Logger
	Now      func() time.Time
	Observe  func(route string, status int, took time.Duration) // after each request; must be quick
	// Memory bounds what large bodies and answers take at once, in bytes, with a share per business; default 256 MiB. Calls
	// beyond the share are answered rate_limited, calls beyond all of it overloaded. Small ones, up to 16 KiB each, are
	// bounded by the connections alone.
	Memory int64
}

// API is the REST edge, an http.Handler.
type API struct {
	Config
	table     table
	exchanges sync.Pool
	memory    *fairshare.Pool[esh3ar.BusinessID] // Config.Memory, in bytes
	queries   *fairshare.Pool[esh3ar.BusinessID] // reads of many rows, in calls
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
		c.Drain = func(context.Context, string, string, bool) error {
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
	if c.Cursors == nil {
		c.Cursors = opaque.NewEphemeral()
	}
	if c.Known == nil {
		c.Known = c.Store.KnownKey
	}
	if c.Draining == nil {
		c.Draining = context.Background
	}
	a := &API{Config: c}
	a.memory = fairshare.New[esh3ar.BusinessID](fairshare.Options{Name: "large_bodies", Total: c.Memory, Least: min(leastMemory, c.Memory/4)})
	a.queries = fairshare.New[esh3ar.BusinessID](fairshare.Options{Name: "queries", Total: maxQueries, Waiting: maxQueriesWaiting})
	a.table = newTable(a.routes())
	a.exchanges.New = func() any { return &exchange{api: a, in: messageInput{phones: c.Phones}} }
	return a
}

// Shares returns the state of the resources that businesses share in this API.
func (a *API) Shares() []fairshare.Stats {
	return []fairshare.Stats{a.memory.Stats(), a.queries.Stats()}
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

// NotFound answers a request as one to a path that the API does not have.
func (a *API) NotFound(w http.ResponseWriter, r *http.Request) {
	a.answerWith(w, r, notThere)
}

// RequireAdmin lets the administrator's requests through to h.
func (a *API) RequireAdmin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.answerWith(w, r, a.admin(func(x *exchange) error {
			x.status = http.StatusOK
			h.ServeHTTP(x.w, x.r)
			return nil
		}))
	})
}

// answerWith answers a request by a handler that is in no table.
func (a *API) answerWith(w http.ResponseWriter, r *http.Request, h handler) {
	x := a.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.begin(w, r)
	defer x.end()
	defer func() {
		x.survive(recover())
		x.observe("other")
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
	x.takesQuery = r.query && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead)
	return r.path, h
}
