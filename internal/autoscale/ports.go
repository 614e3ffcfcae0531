package autoscale

import (
	"context"
	"errors"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Registry lists the live nodes with their announced status.
type Registry interface {
	Nodes(ctx context.Context) ([]membership.Node, error)
}

// Target starts and stops nodes.
type Target interface {
	// Fleet returns the current configuration of the target.
	Fleet(ctx context.Context) (Fleet, error)
	// Resize sets the number of nodes. It does not wait until they have started or stopped. Every effect runs inside the order's
	// Guard; an effect that Guard refuses has not happened, or was undone.
	Resize(ctx context.Context, o Order) error
}

// Fleet describes the nodes of a target.
type Fleet struct {
	Wanted       int                 // number of its own nodes that should run
	Own          []membership.NodeID // ids of its nodes, including those that are stopping
	RemovalOrder []membership.NodeID // ids in the order of removal, without those that are stopping
	OwnsAll      bool                // every node of the cluster belongs to the target
	Opaque       bool                // the target knows no nodes: OwnsAll is set, Wanted is the last order, and any node may be removed
}

// Order is a request to a target.
type Order struct {
	Nodes int    // number of its own nodes
	Token uint64 // fencing token of the leader's term
	Guard func(ctx context.Context, effect func(context.Context) error) error
}

// ErrFenced means that another scaler holds the lease: the operation has not happened, or must be undone.
var ErrFenced = errors.New("another scaler has taken over")

// Term is the period in which one scaler leads. Tokens rise from term to term.
type Term struct {
	Leader bool // this scaler leads; otherwise Holder is the leader
	Holder string
	Token  uint64
}

// Lease elects the one scaler that acts. Every method returns within the timeout of a statement, or when ctx ends.
type Lease interface {
	// Acquire takes or renews the lease for ttl from now, by the lease's own clock. The token stays the same unless another holder
	// had the lease in between.
	Acquire(ctx context.Context, holder string, ttl time.Duration) (Term, error)
	// Release ends the term early. It does nothing if the term has already ended.
	Release(ctx context.Context, t Term) error
	// Guard runs effect, which must be short, while no other scaler can take the lease. It returns ErrFenced if another scaler had
	// taken the lease before, so effect did not run, or if the lock was lost while effect ran.
	Guard(ctx context.Context, t Term, effect func(context.Context) error) error
}

// History stores the decisions, and the state for the next leader. It is bounded: the oldest entries are deleted first.
type History interface {
	// Load returns the newest state, or nil if there is none.
	Load(ctx context.Context) (state []byte, err error)
	// Write stores an entry and the state atomically, if the term is the newest; otherwise it returns ErrFenced.
	Write(ctx context.Context, t Term, e *Entry, state []byte) error
	// History returns up to limit entries with a number below before, newest first; before 0 means from the newest entry.
	History(ctx context.Context, before int64, limit int) ([]Entry, error)
}

// Entry is one line of the history.
type Entry struct {
	Number int64       `json:"number"` // rises with time; gaps are normal
	At     esh3ar.Time `json:"at"`
	By     string      `json:"by"`    // the leader
	Token  uint64      `json:"token"` // fencing token of its term
	From   int         `json:"from"`  // number of nodes before
	To     int         `json:"to"`
	Reason Reason      `json:"reason"`
	Why    string      `json:"why"`
	DryRun bool        `json:"dryRun,omitempty"` // the scaler only logs what it would do
}
