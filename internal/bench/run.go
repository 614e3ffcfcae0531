package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

// run is the state of one run.
type run struct {
	Options
	report     Report
	progress   io.Writer
	files      int     // sockets that the process may open
	maximum    float64 // accepted calls/s of the accept scenario
	saturation float64 // messages/s of the deliver scenario
}

// Run runs the selected scenarios and prints the report. An error means that a measurement failed.
func Run(ctx context.Context, o Options, out, progress io.Writer) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	files, err := raiseFiles()
	if err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	r := &run{Options: o, progress: progress, files: min(files-500, maxSockets)}
	r.report.Machine = machine()
	if o.Floor {
		return &r.report, errors.Join(r.baselineOnly(ctx), r.report.print(out))
	}
	for _, scenario := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{Accept, r.accept},
		{Deliver, r.deliver},
		{Idle, r.idle},
		{Latency, r.latency},
		{Connections, r.connections},
		{Reconnect, r.reconnect},
		{Disk, r.disk},
		{Growth, r.growth},
		{Soak, r.soak},
		{Overload, r.overload},
	} {
		if !o.wants(scenario.name) {
			continue
		}
		if err := scenario.measure(ctx); err != nil {
			return &r.report, fmt.Errorf("%s: %w", scenario.name, err)
		}
	}
	return &r.report, r.report.print(out)
}

// wants reports whether a scenario is selected.
func (o *Options) wants(scenario string) bool {
	if len(o.Scenarios) == 0 {
		return scenario != Overload && scenario != Growth && scenario != Soak
	}
	return slices.Contains(o.Scenarios, scenario)
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.progress, format+"\n", args...) }

// sockets returns n, or the number of sockets that the process may open if that is smaller, and then adds a note to the
// report.
func (r *run) sockets(what string, n int) int {
	if n <= r.files {
		return n
	}
	r.report.Lowered = append(r.report.Lowered, fmt.Sprintf("%s from %d to %d by the limit of open files", what, n, r.files))
	return r.files
}

func (r *run) faults(scenario string, l *ledger) { r.judge(scenario, l, l.faults()) }

// judge adds the result of a ledger to the report.
func (r *run) judge(scenario string, l *ledger, faults string) {
	if faults != "" {
		r.fault(scenario, faults)
	}
	if n := l.repeats.Load(); n > 0 {
		r.report.add(scenario, "repeats", float64(n), "")
	}
	if n := l.refused.Load(); n > 0 {
		r.report.add(scenario, "calls refused", float64(n), "")
	}
}

func (r *run) fault(scenario, text string) {
	r.report.Faults = append(r.report.Faults, scenario+": "+text)
}

// rate measures accepted calls per second of a closed loop against addr.
func (r *run) rate(ctx context.Context, addr, apiKey string, callers int, l *ledger) (perSecond float64, err error) {
	ld, err := dialLoad(ctx, []string{addr}, messageFormat(apiKey), callers, 4000, r.Size, l)
	if err != nil {
		return 0, err
	}
	defer ld.close()
	var before, after int64
	var began time.Time
	var took time.Duration
	err = stretch(ctx, r.Warmup, r.Duration, ld.closed,
		func() { before, began = l.accepted.Load(), time.Now() },
		func() { after, took = l.accepted.Load(), time.Since(began) })
	return float64(after-before) / took.Seconds(), err
}

// baselineOnly measures the bare handler alone.
func (r *run) baselineOnly(ctx context.Context) (err error) {
	floor, err := startFloor(ctx, &r.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.close()) }()
	rate, err := r.rate(ctx, floor.addr, "none", r.sockets("callers", or(r.Callers, 300)), newLedger())
	r.report.add(Accept, "floor: bare net/http", rate, "calls/s")
	return err
}

// accept is budget B1: accepted calls of the server as a share of the bare handler, both measured in turn.
func (r *run) accept(ctx context.Context) (err error) {
	callers := r.sockets("callers", or(r.Callers, 300))
	floor, err := startFloor(ctx, &r.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.close()) }()
	node, err := startServer(ctx, r.Binary, r.Flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	rates := [2][]float64{} // of the bare handler and the node
	var allocated allocations
	err = rounds.Each(ctx, r.Rounds, len(rates), func(round, i int) (err error) {
		r.say("accept: round %d of %d", round+1, r.Rounds)
		addr, key := floor.addr, "none"
		if i == 1 {
			addr, key = node.addr, node.secrets.APIKey
		}
		l := newLedger()
		if i == 1 {
			defer allocated.watch(ctx, node, l.accepted.Load)(&err)
		}
		rate, err := r.rate(ctx, addr, key, callers, l)
		rates[i] = append(rates[i], rate)
		return err
	})
	if err != nil {
		return err
	}
	floors, nodes, shares := rates[0], rates[1], rounds.Ratios(rates[1], rates[0])
	r.maximum = rounds.Of(nodes).Median
	r.report.addRounds(Accept, "floor: bare net/http", floors, "calls/s")
	r.report.addRounds(Accept, "durable calls", nodes, "calls/s")
	r.report.budget(Accept, "share of the floor", rounds.Of(shares).Median, "", "B1", 0.8, 1, true)
	r.report.spread(shares)
	r.reportAllocations(Accept, &allocated, "B10", 15, 5)
	return nil
}

// scenarioRun is a platform with its phones and callers.
type scenarioRun struct {
	*platform
	fleet *fleet
	load  *load
	*ledger
}

// startScenario starts a platform and connects phones and callers.
func (r *run) startScenario(ctx context.Context, phones, callers int) (f *scenarioRun, err error) {
	f = &scenarioRun{ledger: newLedger()}
	if f.platform, err = startPlatform(ctx, &r.Options); err != nil {
		return nil, err
	}
	if f.fleet, err = connectFleet(ctx, f.urls(), f.secrets().AdminToken, phones, r.Ack == AckSend, f.ledger); err != nil {
		return nil, errors.Join(err, f.platform.close())
	}
	if f.load, err = dialLoad(ctx, f.addrs(), messageFormat(f.secrets().APIKey), callers, phones, r.Size, f.ledger); err != nil {
		f.fleet.close()
		return nil, errors.Join(err, f.platform.close())
	}
	return f, nil
}

func (f *scenarioRun) close() error {
	f.load.close()
	f.fleet.close()
	return f.platform.close()
}

// drain waits until all accepted messages have arrived. It gives up when no more messages arrive.
func (f *scenarioRun) drain(ctx context.Context) error { return drain(ctx, f.ledger) }

func drain(ctx context.Context, l *ledger) error {
	for still, last := 0, int64(-1); still < 100 && l.received.Load() < l.accepted.Load(); still++ {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		if now := l.received.Load(); now != last {
			still, last = 0, now
		}
	}
	return nil
}

// deliver is budget B2, and B6 for a cluster: total CPU per message at saturation.
func (r *run) deliver(ctx context.Context) (err error) {
	phones, callers := r.sockets("phones", or(r.Phones, 4000)), or(r.Callers, 300)
	r.say("deliver: %d phones, %d callers", phones, callers)
	f, err := r.startScenario(ctx, phones, callers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	var before, after usage
	var messages int64
	var began time.Time
	var took time.Duration
	var probe error
	var allocated allocations
	var counted func(*error)
	err = stretch(ctx, r.Warmup, r.Duration, f.load.closed, func() {
		counted = allocated.watch(ctx, f.nodes[0], f.received.Load)
		f.measured.Store(true)
		messages, began = -f.received.Load(), time.Now()
		before, probe = f.usage()
	}, func() {
		var err error
		after, err = f.usage()
		probe = errors.Join(probe, err)
		messages, took = messages+f.received.Load(), time.Since(began)
		f.measured.Store(false)
		counted(&probe)
	})
	if err = errors.Join(err, probe); err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	r.saturation = float64(messages) / took.Seconds()
	r.report.Notes = append(r.report.Notes, fmt.Sprintf("phones acknowledge by SignalR %s", r.Ack))
	r.report.add(Deliver, "call to phone, saturated", r.saturation, "messages/s")
	r.budgets(f, Deliver, "")
	r.costs(after.since(before), messages)
	if r.Nodes == 0 {
		r.reportAllocations(Deliver, &allocated, "", 0, 0)
	}
	r.faults(Deliver, f.ledger)
	return nil
}

// budgets adds the latencies of a scenario with their budgets.
func (r *run) budgets(f *scenarioRun, scenario, budget string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms := func(us int64) float64 { return float64(us) / 1000 }
	r.report.add(scenario, "call → 202, p50", ms(f.ledger.accept.ValueAtQuantile(50)), "ms")
	r.report.add(scenario, "call → phone, p50", ms(f.device.ValueAtQuantile(50)), "ms")
	if budget == "" {
		r.report.add(scenario, "call → 202, p99", ms(f.ledger.accept.ValueAtQuantile(99)), "ms")
		r.report.add(scenario, "call → phone, p99", ms(f.device.ValueAtQuantile(99)), "ms")
		return
	}
	r.report.budget(scenario, "call → 202, p99", ms(f.ledger.accept.ValueAtQuantile(99)), "ms", budget, 10, 5, false)
	r.report.budget(scenario, "call → phone, p99", ms(f.device.ValueAtQuantile(99)), "ms", budget, 10, 5, false)
}

// idle is budget B3: memory per idle connection.
func (r *run) idle(ctx context.Context) (err error) {
	phones := r.sockets("phones", or(r.Phones, 10_000))
	r.say("idle: %d phones", phones)
	node, err := startServer(ctx, r.Binary, r.Flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	before, err := rssOf(node.node.PID())
	if err != nil {
		return err
	}
	f, err := connectFleet(ctx, []string{node.node.URL}, node.secrets.AdminToken, phones, false, newLedger())
	if err != nil {
		return err
	}
	defer f.close()
	// Memory used during the connects is released within a few collections; the rest is the idle cost.
	if err := pause(ctx, max(r.Duration, 5*time.Second)); err != nil {
		return err
	}
	after, err := rssOf(node.node.PID())
	if err != nil {
		return err
	}
	r.report.add(Idle, "server before", float64(before)/(1<<20), "MiB")
	r.report.add(Idle, fmt.Sprintf("server with %d phones", phones), float64(after)/(1<<20), "MiB")
	r.report.budget(Idle, "memory per idle connection", float64(after-before)/float64(phones)/1024, "KiB", "B3", 4.3, 3, false)
	return nil
}

// latency is budget B4: an open loop at half of the saturation.
func (r *run) latency(ctx context.Context) (err error) {
	phones, callers, rate := r.sockets("phones", or(r.Phones, 9000)), or(r.Callers, 500), r.Rate
	if rate == 0 {
		if r.saturation == 0 {
			r.say("latency: measuring the saturation first")
			if err := r.deliver(ctx); err != nil {
				return err
			}
		}
		rate = r.saturation / 2
	}
	r.say("latency: %d phones, %d callers, %.0f messages/s", phones, callers, rate)
	f, err := r.startScenario(ctx, phones, callers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	var before, after stages
	var probe, probeEnd error
	err = stretch(ctx, r.Warmup, r.Duration, func(stop <-chan struct{}) error {
		if r.Closed {
			return f.load.closed(stop)
		}
		return f.load.open(rate, stop)
	},
		func() { before, probe = f.stages(ctx); f.measured.Store(true) },
		func() { f.measured.Store(false); after, probeEnd = f.stages(ctx) })
	if err = errors.Join(err, probe, probeEnd); err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	if !r.Closed {
		r.report.add(Latency, "rate, open loop", rate, "messages/s")
	}
	r.budgets(f, Latency, "B4")
	r.faults(Latency, f.ledger)
	return r.stageBudgets(before, after)
}

// connections is requirement R1.2: many open API connections at 80 % of the maximum, or at a given rate without a
// budget.
func (r *run) connections(ctx context.Context) (err error) {
	callers := r.sockets("callers", or(r.Callers, 10_000))
	node, err := startServer(ctx, r.Binary, r.Flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	if r.Rate == 0 && r.maximum == 0 {
		r.say("connections: measuring the maximum first")
		if r.maximum, err = r.rate(ctx, node.addr, node.secrets.APIKey, 300, newLedger()); err != nil {
			return err
		}
	}
	rate := cmp.Or(r.Rate, r.maximum*0.8)
	r.say("connections: %d callers, %.0f calls/s", callers, rate)
	l := newLedger()
	ld, err := dialBusinesses(ctx, node, callers, 4000, r.Size, l)
	if err != nil {
		return err
	}
	defer ld.close()
	err = stretch(ctx, r.Warmup, r.Duration, func(stop <-chan struct{}) error { return ld.open(rate, stop) },
		func() { l.measured.Store(true) }, func() { l.measured.Store(false) })
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.report.add(Connections, fmt.Sprintf("rate over %d connections", callers), rate, "calls/s")
	r.report.add(Connections, "call → 202, p50", float64(l.accept.ValueAtQuantile(50))/1000, "ms")
	if p99 := float64(l.accept.ValueAtQuantile(99)) / 1000; r.Rate == 0 {
		r.report.budget(Connections, "call → 202, p99", p99, "ms", "R1.2", 100, 30, false)
	} else {
		r.report.add(Connections, "call → 202, p99", p99, "ms")
	}
	if n := l.refused.Load(); n > 0 {
		r.report.add(Connections, "calls refused", float64(n), "")
	}
	return nil
}
