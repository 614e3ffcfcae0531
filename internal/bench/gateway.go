package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// Parameters of the gateway comparison: the added latency and CPU of a balancer, compared with a direct call and other balancers.
const (
	gatewayNodes = 3    // bare handlers behind each balancer
	gatewayRate  = 1500 // calls per second of the open loop, far below the capacity of every balancer
)

// pathResult is the result of one path in one round.
type pathResult struct {
	p50, p99 float64 // ms, open loop
	perCall  float64 // µs of the balancer's CPU, closed loop
	rate     float64 // calls/s, closed loop
}

// balance compares the gateway with a direct call and the balancers, in alternating rounds. All distribute the calls over the
// same three bare handlers.
func (r *run) balance(ctx context.Context, balancers []balancer) (err error) {
	var floors []string
	for range gatewayNodes {
		floor, err := startFloor(ctx, &r.Options)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, floor.close()) }()
		floors = append(floors, floor.addr)
	}
	ways, err := r.ways(ctx, floors, balancers)
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range ways {
			err = errors.Join(err, w.stop())
		}
	}()
	results := make([][]pathResult, len(ways))
	err = rounds.Each(ctx, r.Rounds, len(ways), func(round, i int) error {
		r.say("gateway: round %d of %d, %s", round+1, r.Rounds, ways[i].name)
		p, err := r.measurePath(ctx, ways[i])
		if err != nil {
			return fmt.Errorf("%s: %w", ways[i].name, err)
		}
		results[i] = append(results[i], p)
		return nil
	})
	if err != nil {
		return err
	}
	r.report.Notes = append(r.report.Notes, "balancers: latency at a fixed rate, CPU and calls/s at saturation")
	r.reportWays(ways, results)
	return nil
}

// ways returns all paths to the bare handlers: directly to one of them, through the gateway, and through each balancer.
func (r *run) ways(ctx context.Context, floors []string, balancers []balancer) ([]*proxy, error) {
	ways := []*proxy{{name: "direct", addr: floors[0]}}
	for _, start := range append([]balancer{r.startGateway}, balancers...) {
		w, err := start(ctx, floors)
		if err != nil {
			for _, started := range ways {
				err = errors.Join(err, started.stop())
			}
			return nil, err
		}
		ways = append(ways, w)
	}
	return ways, nil
}

// measurePath measures one path once: latency at a fixed rate, then CPU at saturation.
func (r *run) measurePath(ctx context.Context, w *proxy) (p pathResult, err error) {
	l := newLedger()
	ld, err := dialLoad(ctx, []string{w.addr}, messageFormat("none"), or(r.Callers, 100), 4000, r.Size, l)
	if err != nil {
		return p, err
	}
	defer ld.close()
	err = stretch(ctx, r.Warmup, r.Duration, func(stop <-chan struct{}) error { return ld.open(gatewayRate, stop) },
		func() { l.measured.Store(true) }, func() { l.measured.Store(false) })
	if err != nil {
		return p, err
	}
	l.mu.Lock()
	p.p50, p.p99 = float64(l.accept.ValueAtQuantile(50))/1000, float64(l.accept.ValueAtQuantile(99))/1000
	l.mu.Unlock()
	return p, r.saturate(ctx, w, ld, l, &p)
}

func (r *run) saturate(ctx context.Context, w *proxy, ld *load, l *ledger, p *pathResult) error {
	var calls int64
	var cpu time.Duration
	var began time.Time
	var took time.Duration
	var probe error
	read := func(sign int64) {
		used, err := w.cpuTime()
		probe = errors.Join(probe, err)
		cpu += time.Duration(sign) * used
		calls += sign * l.accepted.Load()
	}
	err := stretch(ctx, r.Warmup, r.Duration, ld.closed, func() { read(-1); began = time.Now() }, func() { read(1); took = time.Since(began) })
	if err = errors.Join(err, probe); err != nil {
		return err
	}
	if n := l.refused.Load(); n > 0 || calls == 0 {
		return fmt.Errorf("refused calls: got %d of %d, want 0", n, calls)
	}
	p.rate = float64(calls) / took.Seconds()
	p.perCall = float64(cpu.Microseconds()) / float64(calls)
	return nil
}

// reportWays adds the results of the ways; the first is the direct call and the second the gateway.
func (r *run) reportWays(ways []*proxy, results [][]pathResult) {
	of := func(way int, value func(pathResult) float64) (values []float64) {
		for _, p := range results[way] {
			values = append(values, value(p))
		}
		return values
	}
	p50 := func(p pathResult) float64 { return p.p50 }
	perCall := func(p pathResult) float64 { return p.perCall }
	direct := rounds.Of(of(0, p50)).Median
	for i, w := range ways {
		r.report.addRounds(w.name, "call, p50", of(i, p50), "ms")
		r.report.addRounds(w.name, "call, p99", of(i, func(p pathResult) float64 { return p.p99 }), "ms")
		if i > 0 {
			r.report.add(w.name, "added p50", rounds.Of(of(i, p50)).Median-direct, "ms")
			r.report.addRounds(w.name, "balancer CPU per call", of(i, perCall), "µs")
		}
		r.report.addRounds(w.name, "saturated", of(i, func(p pathResult) float64 { return p.rate }), "calls/s")
	}
	for i, w := range ways[2:] {
		least, aim := 0.0, 0.0
		if w.name == "HAProxy" { // the budget's reference
			least, aim = 1.2, 1
		}
		r.report.addRatio(ways[1].name, "balancer CPU per call ÷ "+w.name, of(1, perCall), of(2+i, perCall), "B12", least, aim)
	}
}

// startGateway starts the product's gateway with its documented command line.
func (r *run) startGateway(ctx context.Context, floors []string) (*proxy, error) {
	addr, err := nodeproc.FreePort()
	if err != nil {
		return nil, err
	}
	args := []string{"gateway", "--log-level", "error", "--listen", addr, "--drain-notice", "1ms", "--nodes"}
	nodes := ""
	for i, floor := range floors {
		if i > 0 {
			nodes += ","
		}
		nodes += "http://" + floor
	}
	return startProxy(ctx, &proxy{name: "gateway", addr: addr}, r.Binary, append(args, nodes)...)
}
