package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// Parameters of the autoscale scenario: the cluster starts as one process with all roles, and the load rises and falls.
const (
	// scaledCapacity is the declared capacity of a node in messages per second. It is so small that all nodes, their servers
	// and the load generator fit on one machine.
	scaledCapacity = 300
	// scaledPolicy is in a hurry: what takes minutes in a data centre is to be seen within one.
	scaledPolicy = `min: 1
max: 4
metrics: [{metric: load, target: 0.8, window: 3s}]
up: {step: 1, percent: 0, cooldown: 3s}
down: {stabilizationWindow: 6s, step: 1, cooldown: 3s}
`
	// calmWithin bounds the time to remove surplus nodes after the load has ended: four steps of the policy, and a node that
	// uses its whole drain timeout.
	calmWithin = 2 * time.Minute
)

// rampShares are what is asked where stretches begin and end, as shares of one node's capacity: less than one node wants to have,
// more than two can take, and back.
var rampShares = []float64{0.4, 0.4, 2.2, 2.2, 0.4, 0.4}

// scaled is a cluster with a scaler, its phones and its business.
type scaled struct {
	scenarioRun        // without fleet and load: these stay with a node
	dir         string // directory of the policy file
	gateway     string // URL
	phones      *reconnectingClients
	sender      *sender
}

// RunAutoscale runs the autoscale scenario: a cluster follows a load ramp, and every message is recorded.
func RunAutoscale(ctx context.Context, o Options, out, progress io.Writer) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	files, err := raiseFiles()
	if err != nil {
		return nil, fmt.Errorf("raise the limit of open files: %w", err)
	}
	r := &run{Options: o, progress: progress, files: min(files-500, maxSockets)}
	r.report.Machine = machine()
	if r.Capacity == 0 {
		r.Capacity = scaledCapacity
	}
	if err := r.autoscale(ctx); err != nil {
		return &r.report, fmt.Errorf("%s: %w", Autoscale, err)
	}
	return &r.report, r.report.print(out)
}

func (r *run) autoscale(ctx context.Context) (err error) {
	s, err := r.openScaled(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	load := &ramp{stretch: r.Duration}
	for _, share := range rampShares {
		load.rates = append(load.rates, share*r.Capacity)
	}
	r.say("autoscale: a ramp of %s to %.0f messages/s, nodes that take %.0f", load.duration(), rampShares[2]*r.Capacity, r.Capacity)
	c := newSampler(s.nodes[0], s.sender, load.duration())
	s.measured.Store(true)
	if err := r.follow(ctx, s, c, load); err != nil {
		return err
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	r.reportScaling(s, c)
	if err := r.reportScalerLog(ctx, s); err != nil {
		return err
	}
	if r.Plot != "" {
		return c.plot(r.Plot, r.Capacity)
	}
	return nil
}

// follow sends the ramp and samples the cluster until the surplus nodes are removed, or calmWithin has passed.
func (r *run) follow(ctx context.Context, s *scaled, c *sampler, load *ramp) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sending sync.WaitGroup
	var failed error
	sent := make(chan struct{})
	sending.Go(func() {
		defer close(sent)
		failed = s.sender.follow(ctx, load)
	})
	var over time.Time // time of the last answer
	err := c.sampleUntil(ctx, func(m clusterSample) bool {
		select {
		case <-sent:
		default:
			return false
		}
		if over.IsZero() {
			over = time.Now()
			r.say("autoscale: the ramp is over; waiting for the removal of surplus nodes")
		}
		return failed != nil || m.nodes+m.draining == 1 || time.Since(over) > calmWithin
	})
	cancel()
	sending.Wait()
	return errors.Join(err, failed)
}

// openScaled starts the cluster and connects phones and business through the gateway.
func (r *run) openScaled(ctx context.Context) (*scaled, error) {
	s := &scaled{scenarioRun: scenarioRun{ledger: newLedger()}}
	err := r.startScaled(ctx, s)
	if err == nil {
		err = r.connectScaled(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// startScaled starts PostgreSQL, Redis and one process with all roles, and waits for its gateway.
func (r *run) startScaled(ctx context.Context, s *scaled) (err error) {
	if s.dir, err = os.MkdirTemp("", "esh3ar-bench-*"); err != nil {
		return err
	}
	policy := filepath.Join(s.dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(scaledPolicy), 0o600); err != nil {
		return err
	}
	addr, err := nodeproc.FreePort()
	if err != nil {
		return err
	}
	s.gateway = "http://" + addr
	capacity := strconv.FormatFloat(r.Capacity, 'f', -1, 64)
	o := r.Options
	o.Nodes, o.Flags = 1, []string{
		"--role", "all", "--gateway-listen", addr, "--autoscale", "--scale-policy", policy, "--scale-every", "1s", "--capacity-rate", capacity,
		"--", "--capacity-rate", capacity, "--log-level", "error",
	}
	if s.platform, err = startPlatform(ctx, &o); err != nil {
		return err
	}
	return awaitReady(ctx, addr)
}

func (r *run) connectScaled(ctx context.Context, s *scaled) error {
	phones, callers := r.sockets("phones", or(r.Phones, 300)), r.sockets("callers", or(r.Callers, 1000))
	s.phones = &reconnectingClients{gateway: s.gateway, operator: s.urls()[0], around: 2 * r.Duration, sends: r.Ack == AckSend, ledger: s.ledger}
	s.sender = newSender(s.gateway, s.secrets().APIKey, callers, phones, r.Size, s.ledger)
	return s.phones.connect(ctx, s.secrets().AdminToken, phones)
}

// close stops everything in reverse order of the start.
func (s *scaled) close() (err error) {
	if s.sender != nil {
		s.sender.close()
	}
	if s.phones != nil {
		s.phones.close()
	}
	if s.platform != nil {
		err = s.platform.close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
