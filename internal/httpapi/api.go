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
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// Bounds of request bodies, in bytes.
const (
	maxBody      = 128 << 10
	maxBatchBody = 16 << 20
)

const (
	// minBusinessMemory is the part of Config.Memory that one business may always use while it is free, in bytes: the
	// buffers of one batch of the largest size.
	minBusinessMemory = 2 * maxBatchBody
	// maxQueries bounds the queries for many rows that run at once: half of the connections to a PostgreSQL database.
	maxQueries = 8
	// maxQueriesWaiting bounds the queued queries of one business.
	maxQueriesWaiting = 64
)

// submitter commits calls to the store. Package ingest implements it.
type submitter interface {
	Submit(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error)
}

// messages reads messages and their histories.
type messages interface {
	Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error)
	List(ctx context.Context, q esh3ar.ListQuery) (esh3ar.ListPage, error)
	History(ctx context.Context, id esh3ar.MessageID) ([]esh3ar.Event, error)
}

// accounts reads and changes businesses, plans and API keys.
type accounts interface {
	CreateBusiness(ctx context.Context, b esh3ar.Business) error
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
	esh3ar.PlanStore
	CreateKey(ctx context.Context, k esh3ar.APIKey) error
	RevokeKey(ctx context.Context, business esh3ar.BusinessID, key esh3ar.KeyID, at esh3ar.Time) error
}

// store is the part of the store that the API uses directly, without package ingest.
type store interface {
	esh3ar.Settler
	esh3ar.KeyReader
	esh3ar.DeadLetters
	messages
	accounts
}

// Config holds the dependencies of an API. All fields are required unless noted; Log, Now, Observe and Memory have defaults.
type Config struct {
	Intake submitter
	Store  store
	Keys   *auth.Keys
	Plans  *auth.Plans
	Quotas *ratelimit.Limiters
	// Recipients limits the messages of a business to one recipient; nil: no limit.
	Recipients *ratelimit.Recipients
	// LookupKey returns the stored answer of an idempotency key; nil: the store's KnownKey.
	LookupKey func(ctx context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error)
	Admin     *auth.Admin
	Tokens    *auth.Tokens
	// Credentials changes signing keys, revokes tokens and creates admin tokens; nil: these routes answer not_found.
	Credentials *auth.Credentials
	Feed        *eventfeed.Feed // for GET /v1/events
	Phones      *phonenumber.Parser
	// Cursors seals event ids and list cursors; nil: a sealer with a random secret, valid for this process only.
	Cursors    *opaque.Sealer
	OnCanceled func(r esh3ar.Recipient, id esh3ar.MessageID, life esh3ar.Life) // called for each canceled message
	// OnRequeued is called for each replayed dead letter, which is in the inbox again; nil: not called. It is a hint
	// that may be lost.
	OnRequeued func(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life)
	Ready      func() error         // returns nil if the node is ready, else the reason why not
	Breakers   func() BreakerReport // nil: no breakers
	Nodes      func() []Node        // all known nodes, this one included; nil: none
	Verifier   esh3ar.Verifier      // nil: verification answers not_supported
	Spill      Spill                // nil: this node has no spill
	Scaler     Scaler               // nil: the node does not share its store, so nothing scales
	// Drain makes the node with this id drain, or accept calls again if drain is false. It returns NotFound for an unknown
	// node. nil: every id is unknown.
	Drain   func(ctx context.Context, id, authorization string, drain bool) error
	Metrics http.Handler
	// OnPanic is called with the cause of a handler's panic; nil: the panic is logged.
	OnPanic func(cause any)
	// Draining returns a context that is cancelled when the node drains. It ends event streams, which
	// http.Server.Shutdown would otherwise wait for. A node that accepts calls again returns a new context. nil: the node
	// never drains.
	Draining func() context.Context
	Log      *slog.Logger
	Now      func() time.Time
	Observe  func(route string, status int, took time.Duration) // called after each request; must not block
	// Memory bounds the memory of large request and response bodies in flight, in bytes, with a share per business;
	// default 256 MiB. A call beyond its business's share is answered rate_limited, a call beyond the total overloaded.
	// Bodies up to 16 KiB are not counted: the number of connections bounds them.
	Memory int64
}

// API is the REST API. It implements http.Handler.
type API struct {
	Config
	table     table
	exchanges sync.Pool
	memory    *fairshare.Pool[esh3ar.BusinessID] // Config.Memory, in bytes
	queries   *fairshare.Pool[esh3ar.BusinessID] // running queries for many rows
	verifying atomic.Bool                        // a verification is running
}

// New returns an API with these dependencies.
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
	if c.OnRequeued == nil {
		c.OnRequeued = func(esh3ar.Recipient, esh3ar.Seq, esh3ar.MessageID, esh3ar.Life) {}
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
	if c.LookupKey == nil {
		c.LookupKey = c.Store.KnownKey
	}
	if c.Draining == nil {
		c.Draining = context.Background
	}
	a := &API{Config: c}
	a.memory = fairshare.New[esh3ar.BusinessID](fairshare.Options{Name: "large_bodies", Total: c.Memory, Guaranteed: min(minBusinessMemory, c.Memory/4)})
	a.queries = fairshare.New[esh3ar.BusinessID](fairshare.Options{Name: "queries", Total: maxQueries, MaxWaitingPerOwner: maxQueriesWaiting})
	a.table = newTable(a.routes())
	a.exchanges.New = func() any { return &exchange{api: a, in: messageInput{phones: c.Phones}} }
	return a
}

// Shares returns the use of the resources that businesses share in this API.
func (a *API) Shares() []fairshare.Stats {
	return []fairshare.Stats{a.memory.Stats(), a.queries.Stats()}
}

// LargeBodies returns the memory that large request and response bodies hold now, in bytes.
func (a *API) LargeBodies() int64 { return a.memory.Stats().InUse }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := a.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.begin(w, r)
	defer x.release()
	path, h := a.route(x)
	defer func() {
		x.recoverPanic(recover())
		x.observe(path)
	}()
	if err := h(x); err != nil {
		x.writeError(err)
	}
}

// NotFound answers a request as the API answers unknown paths.
func (a *API) NotFound(w http.ResponseWriter, r *http.Request) {
	a.answerWith(w, r, pathNotFound)
}

// RequireAdmin returns a handler that calls h for requests with the admin token and refuses others. h reads the parameters of
// the query.
func (a *API) RequireAdmin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.answerWith(w, r, a.requireAdminToken(func(x *exchange) error {
			x.status = http.StatusOK
			h.ServeHTTP(x.w, x.r)
			return nil
		}))
	})
}

// answerWith answers a request with a handler that is not in the route table.
func (a *API) answerWith(w http.ResponseWriter, r *http.Request, h handler) {
	x := a.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.begin(w, r)
	defer x.release()
	defer func() {
		x.recoverPanic(recover())
		x.observe("other")
	}()
	if err := h(x); err != nil {
		x.writeError(err)
	}
}

// route returns the handler of a request and the name of its route for metrics.
func (a *API) route(x *exchange) (path string, h handler) {
	r := a.table.find(x.r.URL.Path, &x.params)
	if r == nil {
		return "other", pathNotFound
	}
	h, ok := r.methods[x.r.Method]
	if !ok {
		return r.path, r.wrongMethod
	}
	x.hasParameters = r.query && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead)
	return r.path, h
}
