package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Parameters of the soak scenario.
const (
	soakShare     = 0.7 // of the maximum, for the duration
	soakOverload  = 2.0 // for a third of the duration
	soakSamples   = 200 // of each stretch
	soakLeast     = 0.1 // growth over the second half of a stretch: of memory, goroutines and disk
	soakAim       = 0.02
	soakSlow      = 0.5 // of latency
	soakRemaining = 16  // goroutines more than before the load when it is over, in addition to one idle worker for each caller
)

// soakSample is the state of a node at one time.
type soakSample struct{ memory, goroutines, disk, p99 float64 }

// soakRun is a node under a long load.
type soakRun struct {
	scenarioRun
	tenant *tenant
}

// soak loads a node for a long time below its maximum, and then above it. Memory, goroutines, size of the store and latency must
// be flat. Messages are retained for a tenth of the duration, so that the store has its final size early.
func (r *run) soak(ctx context.Context) (err error) {
	phones, callers := r.sockets("phones", or(r.Phones, 2000)), r.sockets("callers", or(r.Callers, 600))
	s := &soakRun{scenarioRun: scenarioRun{ledger: newLedger()}}
	o := r.Options
	keep := max(r.Duration/10, time.Second).String()
	o.Flags = append(slices.Clone(o.Flags), "--keep-messages", keep, "--keep-events", keep)
	if s.platform, err = startPlatform(ctx, &o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.platform.close()) }()
	if s.fleet, err = connectFleet(ctx, s.urls(), s.secrets().AdminToken, phones, r.Ack == AckSend, s.ledger); err != nil {
		return err
	}
	defer s.fleet.close()
	idle, err := s.goroutines(ctx)
	if err != nil {
		return err
	}
	if err := r.soakLoad(ctx, s, callers, phones); err != nil {
		return err
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	r.faults(Soak, s.ledger)
	return r.checkRest(ctx, s, idle+float64(callers)+soakRemaining)
}

// soakLoad connects the callers, finds the maximum and runs both stretches.
func (r *run) soakLoad(ctx context.Context, s *soakRun, callers, phones int) error {
	ld, err := dialLoad(ctx, s.addrs(), messageFormat(s.secrets().APIKey), callers, phones, r.Size, s.ledger)
	if err != nil {
		return err
	}
	defer ld.close()
	histogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, highest, 3) }
	s.tenant = &tenant{level: "soak", load: ld, accept: histogram(), recent: histogram(), late: histogram()}
	most, err := r.measureMaximum(ctx, tenantLoad{s.tenant})
	if err != nil {
		return err
	}
	r.report.add(Soak, "maximum, closed loop", most, "messages/s")
	for _, part := range []struct {
		name  string
		share float64
		takes time.Duration
	}{{"70 %", soakShare, r.Duration}, {"200 %", soakOverload, r.Duration / 3}} {
		r.say("soak: %.0f messages/s for %s", part.share*most, part.takes)
		samples, err := s.offer(ctx, part.share*most, r.Warmup, part.takes)
		if err != nil {
			return fmt.Errorf("at %s: %w", part.name, err)
		}
		r.reportSoak(part.name, samples, part.takes)
	}
	return nil
}

// offer offers a rate and samples.
func (s *soakRun) offer(ctx context.Context, rate float64, warmup, duration time.Duration) (samples []soakSample, err error) {
	var measured atomic.Bool
	var watching sync.WaitGroup
	var watched error
	over := make(chan struct{})
	err = stretch(ctx, warmup, duration, func(stop <-chan struct{}) error { return s.tenant.open(rate, &measured, stop) }, func() {
		measured.Store(true)
		watching.Go(func() { samples, watched = s.watch(ctx, duration/soakSamples, over) })
	}, func() {
		measured.Store(false)
		close(over)
		watching.Wait()
	})
	return samples, errors.Join(err, watched)
}

// watch samples until over is closed.
func (s *soakRun) watch(ctx context.Context, every time.Duration, over <-chan struct{}) (samples []soakSample, err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return samples, nil
		case <-tick.C:
		}
		one := soakSample{p99: s.tenant.recentP99()}
		memory, err := rssOf(s.nodes[0].node.PID())
		if err != nil {
			return nil, err
		}
		size, err := sizeOf(s.nodes[0].dir)
		if err != nil {
			return nil, err
		}
		if one.goroutines, err = s.goroutines(ctx); err != nil {
			return nil, err
		}
		one.memory, one.disk = float64(memory)/(1<<20), float64(size)/(1<<20)
		samples = append(samples, one)
	}
}

// goroutines returns the number of goroutines of the node.
func (s *soakRun) goroutines(ctx context.Context) (float64, error) {
	return s.nodes[0].metric(ctx, "go_goroutines")
}

func (r *run) reportSoak(part string, samples []soakSample, takes time.Duration) {
	for _, figure := range []struct {
		name, unit string
		least      float64
		of         func(soakSample) float64
	}{
		{"memory", "MiB", soakLeast, func(s soakSample) float64 { return s.memory }},
		{"goroutines", "", soakLeast, func(s soakSample) float64 { return s.goroutines }},
		{"size of the store", "MiB", soakLeast, func(s soakSample) float64 { return s.disk }},
		{"call → 202, p99", "ms", soakSlow, func(s soakSample) float64 { return s.p99 }},
	} {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = figure.of(s)
		}
		what := fmt.Sprintf("%s at %s", figure.name, part)
		r.report.Series = append(r.report.Series, Series{Soak, what, figure.unit, takes.Seconds() / soakSamples, values})
		if len(values) == 0 {
			r.fault(Soak, what+": no samples")
			continue
		}
		r.report.add(Soak, what+", median of the second half", middleOf(values[len(values)/2:]), figure.unit)
		r.report.budget(Soak, what+", growth over the second half", trend(values), "", "B9", figure.least, soakAim, false)
	}
}

// checkRest waits until the node has no more goroutines than it needs without load: requests and queues have ended. It adds a
// fault with the stacks if that does not happen.
func (r *run) checkRest(ctx context.Context, s *soakRun, most float64) error {
	var now float64
	for range restWithin {
		var err error
		if now, err = s.goroutines(ctx); err != nil || now <= most {
			return err
		}
		if err := pause(ctx, restEvery); err != nil {
			return err
		}
	}
	r.fault(Soak, fmt.Sprintf("%.0f goroutines after the load, want at most %.0f", now, most))
	stacks, err := s.nodes[0].profile(ctx, "goroutine?debug=1")
	if err != nil {
		return err
	}
	r.report.Texts = append(r.report.Texts, Text{"Goroutines after the load", strings.Split(string(stacks), "\n")})
	return nil
}
