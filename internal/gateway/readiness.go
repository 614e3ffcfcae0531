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

// readiness is a node's answer to a gateway's check.
type readiness struct {
	Status string            `json:"status"`
	Detail string            `json:"detail,omitempty"`
	ID     membership.NodeID `json:"id"`
	Node   *membership.Node  `json:"node,omitempty"` // only for a gateway with a valid proof
}

// ReadinessProbe is the node's side of the health checks. It answers GET /readyz for requests with MarkHeader, and records
// which gateways have seen that the node is not ready.
type ReadinessProbe struct {
	Ready  func() error           // returns nil if the node is ready, else the reason why not
	Status func() membership.Node // what the node says of itself; must be quick
	// Proofs are the values of ProofHeader with which a gateway gets the node's status: the proof in the registry, and the
	// secret shared with gateways that use no registry. Empty ones are ignored.
	Proofs []string
	Now    func() time.Time

	mu       sync.Mutex
	gateways map[string]observation // by name; at most maxGateways, further ones are not waited for
	changed  chan struct{}          // closed at the next observation; nil while nothing waits
}

// observation is what a gateway was told last.
type observation struct {
	at   time.Time
	stop bool
}

const (
	maxGateways = 64
	maxName     = 64 // bytes of a gateway's name
	// observationTimeout is how long a gateway without further checks is waited for: three check intervals.
	observationTimeout = 3 * time.Second
	// lastCallsDelay is how long the last calls of a gateway may take to arrive after it has seen the node not ready.
	lastCallsDelay = 200 * time.Millisecond
)

// ServeHTTP implements http.Handler for checks.
func (d *ReadinessProbe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	word := d.Status()
	answer, status := readiness{Status: "ready", ID: word.ID}, http.StatusOK
	proven := d.proven(r.Header.Get(ProofHeader))
	if proven {
		word.Proof = ""
		answer.Node = &word
	}
	if err := d.Ready(); err != nil {
		answer.Status = "not_ready"
		status = http.StatusServiceUnavailable
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
	_, _ = w.Write(body) // the gateway may have disconnected
	d.record(r.Header.Get(MarkHeader), proven, status != http.StatusOK)
}

// proven reports whether shown is one of the proofs.
func (d *ReadinessProbe) proven(shown string) bool {
	found := 0
	for _, proof := range d.Proofs {
		if proof != "" {
			found |= subtle.ConstantTimeCompare([]byte(shown), []byte(proof))
		}
	}
	return found == 1
}

func (d *ReadinessProbe) record(name string, proven, stop bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.Now()
	for other, h := range d.gateways {
		if now.Sub(h.at) > observationTimeout {
			delete(d.gateways, other)
		}
	}
	most := maxGateways
	if proven {
		most *= 2 // gateways without proof leave room for those with one
	}
	if _, known := d.gateways[name]; !known && len(d.gateways) >= most || len(name) > maxName {
		return // anyone may send checks; a known gateway is always recorded
	}
	if d.gateways == nil {
		d.gateways = map[string]observation{}
	}
	d.gateways[name] = observation{now, stop}
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// WaitUntilObserved waits, after the node has become not ready, until every gateway with recent checks has seen it and its last
// calls have arrived. It waits at most observationTimeout, and not at all without gateways.
func (d *ReadinessProbe) WaitUntilObserved(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, observationTimeout)
	defer cancel()
	for any := false; ; any = true {
		left, changed := d.pendingGateways()
		if left == 0 {
			if any {
				pause(ctx, lastCallsDelay)
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

// pendingGateways returns the number of gateways that have not seen the node not ready, and a channel that is closed at the
// next observation.
func (d *ReadinessProbe) pendingGateways() (int, <-chan struct{}) {
	var n int
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.gateways {
		if !h.stop && d.Now().Sub(h.at) <= observationTimeout {
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
