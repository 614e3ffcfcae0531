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
	CreateKey(ctx context.Context, k esh3ar.APIKey) error
	RevokeKey(ctx context.Context, business esh3ar.BusinessID, key esh3ar.KeyID, at esh3ar.Time) error
}

// store is what the edge reads and changes without intake.
type store interface {
	esh3ar.Settler
	messages
	accounts
}

// Config is what an API is made of. Log, Now, Observe and Memory have defaults, all else is needed.
type Config struct {
	Intake  submitter
	Store   store
	Keys    *account.Keys
	Admin   *account.Admin
	Tokens  *account.Tokens
	Phones  *account.Phones
	Lapsed  func(r esh3ar.Recipient, ids []esh3ar.MessageID) // told of canceled messages
	Ready   func() error                                     // nil: ready; else why not
	Metrics http.Handler
	Log     *slog.Logger
	Now     func() time.Time
	Observe func(route string, status int, took time.Duration) // after each request; must be quick
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
	if c.Memory == 0 {
		c.Memory = 256 << 20
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
