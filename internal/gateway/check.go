package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// checker asks every node how it is, again and again.
type checker struct {
	opts     *Options
	dispatch *dispatch
	now      chan struct{} // capacity 1: somebody has to be asked at once
	client   http.Client
	contain  func(part string)
	name     string // of this gateway, for nodes that stop to know who has heard it
}

func newChecker(o *Options, d *dispatch, contain func(string)) *checker {
	return &checker{
		opts: o, dispatch: d, contain: contain, now: make(chan struct{}, 1), name: rand.Text(),
		// A check is a new connection: whether the node still takes them is what is asked.
		client: http.Client{Timeout: o.CheckWithin, CheckRedirect: noRedirect, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// noRedirect keeps a check at the node that is asked: a redirect would take the proof elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// run checks until ctx ends. It returns nil.
func (c *checker) run(ctx context.Context) error {
	ticker := time.NewTicker(c.opts.CheckEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		c.round(ctx)
		c.dispatch.tidy()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-c.now:
		}
	}
	return nil
}

// round checks all nodes side by side; one that is silent holds up the next round for no longer than CheckWithin.
func (c *checker) round(ctx context.Context) {
	var group errgroup.Group
	for _, n := range c.dispatch.nodes() {
		group.Go(func() error {
			defer c.contain("check of a node")
			began := c.opts.Now()
			result, err := c.check(ctx, n)
			if ctx.Err() != nil || c.dispatch.files.lack(c.opts, err) {
				return nil // it says nothing of the node
			}
			if result.Began = began; err != nil {
				result.Err = err.Error()
			}
			c.dispatch.checked(n, result)
			return nil
		})
	}
	_ = group.Wait() // nothing fails: a check's failure is its result
}

func (c *checker) check(ctx context.Context, n *balance.Node) (result balance.Check, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/readyz", nil)
	if err != nil {
		return result, err
	}
	req.Header.Set(MarkHeader, c.name)
	if proof := c.dispatch.proofFor(n); proof != "" {
		req.Header.Set(ProofHeader, proof)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return result, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		result.NotReady = true
	default:
		return result, fmt.Errorf("GET /readyz is answered %d: is it a node?", resp.StatusCode)
	}
	result.Name, result.Word = wordOf(resp.Body)
	return result, nil
}

// wordOf reads what a node says of itself; none: it says nothing that can be read, and may be well all the same.
func wordOf(body io.Reader) (name membership.NodeID, word *membership.Node) {
	var answer readiness
	if err := json.NewDecoder(io.LimitReader(body, 64<<10)).Decode(&answer); err != nil {
		return "", nil
	}
	return answer.ID, answer.Node
}
