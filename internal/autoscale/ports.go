package autoscale

import (
	"context"
	"errors"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Registry lists the nodes that live, by what they say of themselves. It is route.Registry without the part that speaks.
type Registry interface {
	Nodes(ctx context.Context) ([]membership.Node, error)
}

// Target starts and stops nodes.
type Target interface {
	// Fleet says what the target is set to.
	Fleet(ctx context.Context) (Fleet, error)
	// Resize has the target go for so many nodes. It does not wait until they are there or gone. Every effect runs inside
	// the order's Guard; what a Guard refuses has not happened, or was undone.
	Resize(ctx context.Context, o Order) error
}

// Fleet is a target's word.
type Fleet struct {
	Wanted  int                 // nodes of its own that there should be
	Own     []membership.NodeID // its nodes, those that are going too
	Leaving []membership.NodeID // who would go, the first to go first; those that are going are not in it
	Whole   bool                // every node of the cluster is its own
	Blind   bool                // it knows none of this: Whole, as many as it was last asked for, and anybody may go
}

// Order is what a target is asked for.
type Order struct {
	Nodes int    // of its own
	Token uint64 // of the holder's term
	Guard func(ctx context.Context, effect func(context.Context) error) error
}

// ErrFenced means that another holder has the lease now: what was asked for has not happened, or must be undone.
var ErrFenced = errors.New("another scaler has taken over")

// Term is a holder's time in office. A token is higher than those of all terms before it.
type Term struct {
	Held   bool // otherwise Holder is who has the lease
	Holder string
	Token  uint64
}

// Lease elects the one scaler that acts. Every method ends within the time of a statement or with ctx.
type Lease interface {
	// Acquire takes the lease, or keeps it, for ttl from now by the lease's own clock. A holder keeps its token as long as
	// nobody else had the lease.
	Acquire(ctx context.Context, holder string, ttl time.Duration) (Term, error)
	// Release ends the term early. A term that has ended already is none of its business.
	Release(ctx context.Context, t Term) error
	// Guard runs effect, which must be short, while nobody can take the lease. ErrFenced: somebody had taken it before, and
	// effect did not run; or the lock was lost while it ran, so that somebody may have.
	Guard(ctx context.Context, t Term, effect func(context.Context) error) error
}

// Diary keeps what was decided, and what the next holder must know. Entries are bounded: the oldest go first.
type Diary interface {
	// Load gives the newest state; nil: there is none.
	Load(ctx context.Context) (state []byte, err error)
	// Write keeps an entry and the state, both or neither, and only while the term is the newest; otherwise ErrFenced.
	Write(ctx context.Context, t Term, e *Entry, state []byte) error
	// History gives entries with a number below before (0: all), the newest first.
	History(ctx context.Context, before int64, limit int) ([]Entry, error)
}

// Entry is a line of the diary.
type Entry struct {
	Number int64       `json:"number"` // rises with time; holes are normal
	At     esh3ar.Time `json:"at"`
	By     string      `json:"by"`    // the holder
	Token  uint64      `json:"token"` // of its term
	From   int         `json:"from"`  // nodes
	To     int         `json:"to"`
	Reason Reason      `json:"reason"`
	Why    string      `json:"why"`
	DryRun bool        `json:"dryRun,omitempty"` // of a scaler that does nothing
}
