package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// business sends numbers to one phone through a gateway, one after the other. It sends each once and leaves retries to
// the gateway.
type business struct {
	caller
	phone string
	keyed bool

	sent    atomic.Int64
	taken   []string // the ids of what was answered 202
	unknown int      // answered outcome_unknown: may have been taken
	refused int      // answered 503 with a Retry-After: was not
	failed  []string // every other answer, and these too if there is a key
}

func (s *business) run(stop <-chan struct{}) {
	defer s.close()
	for k := 0; ; k++ {
		select {
		case <-stop:
			return
		default:
			s.one(k)
			s.sent.Add(1)
		}
	}
}

func (s *business) one(k int) {
	key := ""
	if s.keyed {
		key = fmt.Sprint(s.phone, "-", k)
	}
	got, err := s.call(s.phone, fmt.Sprint(k), key)
	var a accepted
	switch {
	case err != nil:
	case got.status == http.StatusAccepted:
		if err = json.Unmarshal(got.body, &a); err == nil {
			s.taken = append(s.taken, a.ID)
			return
		}
	case s.keyed:
	case got.status == http.StatusBadGateway && strings.Contains(string(got.body), `"outcome_unknown"`):
		s.unknown++
		return
	case got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "":
		s.refused++
		return
	}
	s.failed = append(s.failed, fmt.Sprintf("call %d: %d %s %v", k, got.status, got.body, err))
}

// rolling is a cluster behind a gateway with one sender per phone; even-numbered senders use keys.
type rolling struct {
	t       *testing.T
	nodes   []*platform
	gateway *platform
	phones  []*phone
	senders []*business
}

// newRolling starts the cluster and waits until every node has its share of the phones.
func newRolling(t *testing.T, phones int) *rolling {
	t.Helper()
	nodes, redisURL, _ := cluster(t, 3)
	r := &rolling{t: t, nodes: nodes, gateway: startGateway(t, nodes[0].secrets, "--redis-url", redisURL)}
	r.gateway.awaitNodes(len(nodes))
	for i := range phones {
		number := fmt.Sprint("+96777400000", i)
		ph := newDriver(r.gateway, "phone.mjs")
		ph.do(map[string]any{
			"command": "connect", "url": r.gateway.node.URL + "/online-mobile-user", "token": r.gateway.token(number, "a"), "ack": "each",
			"delays": microsoftsDelays,
		})
		r.phones = append(r.phones, ph)
		r.senders = append(r.senders, &business{
			caller: caller{addr: strings.TrimPrefix(r.gateway.node.URL, "http://"), key: nodes[0].secrets.APIKey}, phone: number, keyed: i%2 == 0,
		})
		r.awaitPhones()
	}
	return r
}

// microsoftsDelays are the default reconnect delays of Microsoft's clients in milliseconds: a client whose first try fails
// waits two more seconds.
var microsoftsDelays = []int{0, 2000, 10_000, 30_000}

func (r *rolling) awaitPhones() {
	r.t.Helper()
	var counts []float64
	eventually(r.t, func() bool {
		counts = connections(r.nodes)
		sum := 0.0
		for _, n := range counts {
			sum += n
		}
		return sum == float64(len(r.phones))
	}, func() string { return fmt.Sprintf("%v of %d phones are connected", counts, len(r.phones)) })
}

// underLoad makes all businesses send while do runs, and waits for the last answers.
func (r *rolling) underLoad(do func()) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for _, s := range r.senders {
		all.Go(func() { s.run(stop) })
	}
	defer func() { close(stop); all.Wait() }() // also when do gives the test up
	do()
}

// restart ends a node, starts it again on the same data and waits until all senders make progress again. It checks no
// more than an orchestrator would.
func (r *rolling) restart(p *platform, end func(*nodeproc.Node) error) {
	r.t.Helper()
	r.awaitTraffic()
	if err := end(p.node); err != nil {
		r.t.Errorf("a node that restarts: %v", err)
	}
	p.start()
	r.awaitPhones()
}

func (r *rolling) awaitTraffic() {
	r.t.Helper()
	for i, s := range r.senders {
		before := s.sent.Load()
		eventually(r.t, func() bool { return s.sent.Load() >= before+50 }, func() string { return fmt.Sprintf("sender %d stands still", i) })
	}
}

// killAmongCalls kills a node while twenty more callers with keys have calls in flight.
func (r *rolling) killAmongCalls(n *nodeproc.Node) error {
	var err error
	r.t.Helper()
	c := callers{t: r.t, gateway: r.gateway, size: 20, keyed: true}
	var killed sync.Once
	c.run(func(calls int64) bool {
		if calls > 500 {
			killed.Do(func() { err = n.Kill() })
		}
		return calls > 1000
	})
	c.noneFailed("a node was killed")
	if r.gateway.metric(`esh3ar_gateway_events_total{event="repeated"}`) == 0 {
		r.t.Error("no call had to be repeated: the node had none")
	}
	return err
}

// nothingIsLost compares the answered messages with the stored and the received ones.
func (r *rolling) nothingIsLost() {
	r.t.Helper()
	for i, s := range r.senders {
		if len(s.failed) > 0 {
			r.t.Errorf("sender %d: %d calls failed: %s\n%s", i, len(s.failed), s.failed[0], r.gateway.node.Stderr)
		}
		stored := r.nodes[0].inbox(s.phone)
		awaitAll(r.phones[i], ids(stored))
		r.t.Logf("sender %d, keys %t: %d taken, %d unknown, %d refused; its phone came back: %+v", i, s.keyed, len(s.taken), s.unknown, s.refused, r.phones[i].backs)
		if got := firsts(ids(r.phones[i].got)); !slices.Equal(got, ids(stored)) {
			r.t.Errorf("phone %d: %d messages came, %d are stored, or in another order", i, len(got), len(stored))
		}
		known := slices.DeleteFunc(ids(stored), func(id string) bool { return !slices.Contains(s.taken, id) })
		if !slices.Equal(known, s.taken) {
			r.t.Errorf("phone %d: %d messages were taken, %d of them are stored, or in another order", i, len(s.taken), len(known))
		}
		if more := len(stored) - len(known); more > s.unknown {
			r.t.Errorf("phone %d: %d messages are stored that nobody was told of, for %d calls of unknown outcome", i, more, s.unknown)
		}
		eventually(r.t, func() bool {
			return !slices.ContainsFunc(r.nodes[0].inbox(s.phone), func(m message) bool { return m.Status != "delivered" })
		}, func() string { return fmt.Sprintf("phone %d: something is not delivered", i) })
	}
}

// inbox returns all stored messages of a phone by sequence number.
func (p *platform) inbox(number string) (all []message) {
	p.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []message `json:"items"`
			NextCursor string    `json:"nextCursor"`
		}
		p.call(http.MethodGet, "/v1/messages?limit=500&recipientPhoneNumber="+url.QueryEscape(number)+"&cursor="+url.QueryEscape(cursor), p.secrets.APIKey, nil, &page)
		all = append(all, page.Items...)
		cursor = page.NextCursor
		if cursor == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b message) int { return cmp.Compare(a.Seq, b.Seq) })
	return all
}

// TestRollingRestartBehindTheGateway restarts one node after the other under load. No call fails, with or without a key,
// and only the gateway retries. Every phone gets all its messages in order, and its first reconnect succeeds after every
// move.
func TestRollingRestartBehindTheGateway(t *testing.T) {
	t.Parallel()
	r := newRolling(t, 6)
	r.underLoad(func() {
		for _, p := range r.nodes {
			r.restart(p, (*nodeproc.Node).Stop)
		}
		r.awaitTraffic()
	})
	r.nothingIsLost()
	for i, s := range r.senders {
		if s.unknown+s.refused > 0 {
			t.Errorf("sender %d: the outcome of %d calls is unknown, %d were refused\n%s", i, s.unknown, s.refused, r.gateway.node.Stderr)
		}
	}
	if n := r.gateway.metric(`esh3ar_gateway_events_total{event="repeated"}`); n != 0 {
		t.Errorf("%g calls met a closed door", n)
	}
	moved := 0
	for i, ph := range r.phones {
		moved += len(ph.backs)
		for _, b := range ph.backs {
			if b.Tries != 1 {
				t.Errorf("phone %d had to try %d times: %s", i, b.Tries, b.Text)
			}
		}
	}
	if moved < len(r.phones) { // each node had two, and each was restarted
		t.Errorf("phones were moved %d times", moved)
	}
}

// TestRollingRestartWithACrash also kills a node. Only calls without a key may then have an unknown outcome.
func TestRollingRestartWithACrash(t *testing.T) {
	t.Parallel()
	r := newRolling(t, 6)
	r.underLoad(func() {
		r.restart(r.nodes[0], (*nodeproc.Node).Stop)
		r.restart(r.nodes[1], r.killAmongCalls)
		r.restart(r.nodes[2], (*nodeproc.Node).Stop)
		r.awaitTraffic()
	})
	r.nothingIsLost()
	if code, out, errs := esh3ar(t, "verify", "--database-url", r.nodes[0].flags[1]); code != 0 {
		t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
}
