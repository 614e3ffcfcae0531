package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// Parameters of the gateway comparison: the added latency and CPU of a balancer, compared with a direct call and other balancers.
const (
	gatewayNodes = 3    // bare handlers behind each balancer
	gatewayRate  = 1500 // calls per second of the open loop, far below the capacity of every balancer
)

// RunGateway compares the gateway with direct calls, nginx and HAProxy, in turn and in one run. All balance over the
// same three bare handlers.
func RunGateway(ctx context.Context, o Options, out, progress io.Writer) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if err := findProxies(); err != nil {
		return nil, err
	}
	files, err := raiseFiles()
	if err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	r := &run{Options: o, progress: progress, files: min(files-500, maxSockets)}
	r.report.Machine = machine()
	r.report.Notes = append(r.report.Notes, "added and CPU are medians over the rounds; latency at a fixed rate, CPU and calls/s at saturation")
	if err := r.compare(ctx); err != nil {
		return &r.report, err
	}
	return &r.report, r.report.print(out)
}

// pathResult is the result of one path in one round.
type pathResult struct {
	p50, p99 float64 // ms, open loop
	perCall  float64 // µs of the balancer's CPU, closed loop
	rate     float64 // calls/s, closed loop
}

func (r *run) compare(ctx context.Context) (err error) {
	var floors []string
	for range gatewayNodes {
		floor, err := startFloor(ctx, &r.Options)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, floor.close()) }()
		floors = append(floors, floor.addr)
	}
	ways, err := r.ways(ctx, floors)
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range ways {
			err = errors.Join(err, w.stop())
		}
	}()
	results := map[string][]pathResult{}
	for round := range r.Rounds {
		for _, w := range ways {
			r.say("gateway: round %d of %d, %s", round+1, r.Rounds, w.name)
			p, err := r.measurePath(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			results[w.name] = append(results[w.name], p)
		}
	}
	r.reportWays(ways, results)
	return nil
}

// ways returns all paths to the bare handlers: directly to one of them, and through each balancer.
func (r *run) ways(ctx context.Context, floors []string) ([]*proxy, error) {
	ways := []*proxy{{name: "direct", addr: floors[0]}}
	for _, start := range []func(context.Context, []string) (*proxy, error){r.startGateway, startNginx, startHAProxy} {
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
	ld, err := dialLoad(ctx, []string{w.addr}, "none", or(r.Callers, 100), 4000, r.Size, l)
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
		used, err := w.cpu()
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

func (r *run) reportWays(ways []*proxy, results map[string][]pathResult) {
	of := func(name string, value func(pathResult) float64) float64 {
		var values []float64
		for _, p := range results[name] {
			values = append(values, value(p))
		}
		return median(values)
	}
	p50 := func(p pathResult) float64 { return p.p50 }
	direct := of("direct", p50)
	for _, w := range ways {
		r.report.add(w.name, "call, p50", of(w.name, p50), "ms")
		r.report.add(w.name, "call, p99", of(w.name, func(p pathResult) float64 { return p.p99 }), "ms")
		if w.name != "direct" {
			r.report.add(w.name, "added p50", of(w.name, p50)-direct, "ms")
			r.report.add(w.name, "balancer CPU per call", of(w.name, func(p pathResult) float64 { return p.perCall }), "µs")
		}
		r.report.add(w.name, "saturated", of(w.name, func(p pathResult) float64 { return p.rate }), "calls/s")
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
