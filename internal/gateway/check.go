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

// checker checks the health of all nodes periodically.
type checker struct {
	opts     *Options
	dispatch *dispatch
	trigger  chan struct{} // requests a check now; capacity 1
	client   http.Client
	contain  func(part string)
	name     string // identifies this gateway to nodes that shut down
}

func newChecker(o *Options, d *dispatch, contain func(string)) *checker {
	return &checker{
		opts: o, dispatch: d, contain: contain, trigger: make(chan struct{}, 1), name: rand.Text(),
		// Each check opens a new connection, because whether the node accepts connections is part of the check.
		client: http.Client{Timeout: o.CheckTimeout, CheckRedirect: noRedirect, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// noRedirect disables redirects, which would send the proof to another server.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// run checks until ctx is done. It returns nil.
func (c *checker) run(ctx context.Context) error {
	ticker := time.NewTicker(c.opts.CheckInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		c.checkAll(ctx)
		c.dispatch.closeIdle()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-c.trigger:
		}
	}
	return nil
}

// checkAll checks all nodes concurrently. A silent node delays the next round by CheckTimeout at most.
func (c *checker) checkAll(ctx context.Context) {
	var group errgroup.Group
	for _, n := range c.dispatch.nodes() {
		group.Go(func() error {
			defer c.contain("check of a node")
			began := c.opts.Now()
			result, err := c.check(ctx, n)
			if ctx.Err() != nil || c.dispatch.files.isExhausted(c.opts, err) {
				return nil // no information about the node
			}
			result.Began = began
			if err != nil {
				result.Err = err.Error()
			}
			c.dispatch.applyCheck(n, result)
			return nil
		})
	}
	_ = group.Wait() // always nil: a failed check is a result
}

func (c *checker) check(ctx context.Context, n *balance.Node) (balance.Check, error) {
	var result balance.Check
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
		return result, fmt.Errorf("GET /readyz answered %d: is this a node?", resp.StatusCode)
	}
	result.Name, result.Status = statusOf(resp.Body)
	return result, nil
}

// statusOf decodes a node's report. Without a readable report it returns zero values: the node may still be healthy.
func statusOf(body io.Reader) (name membership.NodeID, word *membership.Node) {
	var answer readiness
	if err := json.NewDecoder(io.LimitReader(body, 64<<10)).Decode(&answer); err != nil {
		return "", nil
	}
	return answer.ID, answer.Node
}
