package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// readiness is what a node answers to a gateway's check.
type readiness struct {
	Status string            `json:"status"`
	Detail string            `json:"detail,omitempty"`
	ID     membership.NodeID `json:"id"`
	Node   *membership.Node  `json:"node,omitempty"` // only for a gateway that has shown a proof
}

// Watched is a node's side of the checks: it tells gateways how the node is, and knows which of them have heard that it
// stops. It serves GET /readyz for requests that have MarkHeader.
type Watched struct {
	Ready func() error           // nil: ready; else why not
	Word  func() membership.Node // what the node says of itself; must be quick
	// Proofs are what a gateway may show to be told more than whether the node is ready: what the node has written into the registry, and
	// a secret that gateways without a registry share with it. Empty ones count for nothing.
	Proofs []string
	Now    func() time.Time

	mu       sync.Mutex
	gateways map[string]heard // by name; at most maxGateways, new ones beyond are not waited for
	changed  chan struct{}    // closed when a gateway has heard; nil: nobody waits
}

// heard is what a gateway was told last.
type heard struct {
	at   time.Time
	stop bool
}

const (
	maxGateways = 64
	maxName     = 64 // bytes of its name
	// watchedFor is how long a gateway that asks no more is waited for: three checks.
	watchedFor = 3 * time.Second
	// underWay is how long calls take from a gateway that has just heard, and sends no more, to here.
	underWay = 200 * time.Millisecond
)

// ServeHTTP answers a check.
func (d *Watched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	word := d.Word()
	answer, status := readiness{Status: "ready", ID: word.ID}, http.StatusOK
	proven := d.proven(r.Header.Get(ProofHeader))
	if proven {
		word.Proof = ""
		answer.Node = &word
	}
	if err := d.Ready(); err != nil {
		answer.Status, status = "not_ready", http.StatusServiceUnavailable
		if proven {
			answer.Detail = err.Error()
		}
		w.Header().Set("Retry-After", "1")
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the gateway may have gone
	d.note(r.Header.Get(MarkHeader), proven, status != http.StatusOK)
}

// proven reports whether a gateway has shown one of the proofs.
func (d *Watched) proven(shown string) bool {
	found := 0
	for _, proof := range d.Proofs {
		if proof != "" {
			found |= subtle.ConstantTimeCompare([]byte(shown), []byte(proof))
		}
	}
	return found == 1
}

func (d *Watched) note(name string, proven, stop bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.Now()
	for other, h := range d.gateways {
		if now.Sub(h.at) > watchedFor {
			delete(d.gateways, other)
		}
	}
	most := maxGateways
	if proven {
		most *= 2 // strangers leave room for those that are known
	}
	if _, known := d.gateways[name]; !known && len(d.gateways) >= most || len(name) > maxName {
		return // anybody may ask; who asks again is heard whatever others do
	}
	if d.gateways == nil {
		d.gateways = map[string]heard{}
	}
	d.gateways[name] = heard{now, stop}
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// AwaitHeard waits, once the node is not ready, until every gateway that asked lately has heard so and its last calls are
// here. Without gateways it does not wait; one that asks no more is waited for no longer than watchedFor.
func (d *Watched) AwaitHeard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchedFor)
	defer cancel()
	for any := false; ; any = true {
		left, changed := d.unaware()
		if left == 0 {
			if any {
				pause(ctx, underWay)
			}
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// unaware counts the gateways that have not heard yet, and gives what is closed when another has.
func (d *Watched) unaware() (n int, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.gateways {
		if !h.stop && d.Now().Sub(h.at) <= watchedFor {
			n++
		}
	}
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return n, d.changed
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
