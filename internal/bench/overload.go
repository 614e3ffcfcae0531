package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// overload is R1.5, R5.5 and B9: a business of each SLA level, together at twice the rate that the same callers reached
// in a closed loop of the same run.
func (r *run) overload(ctx context.Context) (err error) {
	phones, callers := r.sockets("phones", or(r.Phones, 2000)), r.sockets("callers", or(r.Callers, 600))
	f := &scenarioRun{ledger: newLedger()}
	o := r.Options
	if r.Capacity > 0 {
		o.Flags = append(slices.Clone(o.Flags), "--capacity-rate", strconv.FormatFloat(r.Capacity, 'f', -1, 64))
	}
	if f.platform, err = startPlatform(ctx, &o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.platform.close()) }()
	if err := stepBack(f.nodes[0].node.PID()); err != nil {
		return err
	}
	if f.fleet, err = connectFleet(ctx, f.urls(), f.secrets().AdminToken, phones, r.Ack == AckSend, f.ledger); err != nil {
		return err
	}
	defer f.fleet.close()
	c, err := newTenantLoad(ctx, f.nodes[0], max(1, callers/len(levels)), phones, r.Size, f.ledger)
	if err != nil {
		return err
	}
	defer c.close()
	r.say("overload: %d phones, %d callers, measuring the maximum", phones, callers)
	most, err := r.measureMaximum(ctx, c)
	if err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	r.say("overload: %.0f messages/s at most, %.0f offered for %s", most, 2*most, r.Duration)
	watch, err := r.offerLoad(ctx, f, c, 2*most)
	if err != nil {
		return err
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	r.reportOverload(c, watch, most)
	r.faults(Overload, f.ledger)
	if r.Plot != "" {
		return watch.plot(r.Plot, most)
	}
	return nil
}

// longestMaximum bounds the measurement of the maximum, which converges much faster than a long overload run lasts.
const longestMaximum = 15 * time.Second

// measureMaximum returns the rate of all callers together in a closed loop.
func (r *run) measureMaximum(ctx context.Context, c tenantLoad) (perSecond float64, err error) {
	l := c[0].load.ledger
	var before, after int64
	var began time.Time
	var took time.Duration
	err = stretch(ctx, r.Warmup, min(r.Duration, longestMaximum), func(stop <-chan struct{}) error {
		return c.each(func(g *tenant) error { return g.load.closed(stop) })
	}, func() { before, began = l.accepted.Load(), time.Now() }, func() { after, took = l.accepted.Load(), time.Since(began) })
	return float64(after-before) / took.Seconds(), err
}

// offerLoad offers a rate, a third from each tenant, and samples.
func (r *run) offerLoad(ctx context.Context, f *scenarioRun, c tenantLoad, rate float64) (*overloadMonitor, error) {
	w := newOverloadMonitor(c, f.nodes[0].node.PID(), r.Duration)
	var measured atomic.Bool
	var watching sync.WaitGroup
	var watched error
	over := make(chan struct{})
	err := stretch(ctx, r.Warmup, r.Duration, func(stop <-chan struct{}) error {
		return c.each(func(g *tenant) error { return g.open(rate/float64(len(c)), &measured, stop) })
	}, func() {
		measured.Store(true)
		watching.Go(func() { watched = w.run(over) })
	}, func() {
		measured.Store(false)
		close(over)
		watching.Wait()
	})
	return w, errors.Join(err, watched)
}

func (r *run) reportOverload(c tenantLoad, w *overloadMonitor, most float64) {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	first, last := w.samples[0], w.samples[len(w.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	r.report.Notes = append(r.report.Notes, "overload: callers heed Retry-After; what falls due meanwhile and is not sent within a second is unserved")
	r.report.add(Overload, "maximum, closed loop", most, "messages/s")
	r.report.add(Overload, "CPU of the server", (last.server-first.server).Seconds()/seconds, "cores")
	r.report.add(Overload, "CPU of the load", (last.load-first.load).Seconds()/seconds, "cores")
	served, due := int64(0), int64(0)
	for i := range c {
		served += last.groups[i].served - first.groups[i].served
		due += last.groups[i].due - first.groups[i].due
	}
	r.report.add(Overload, "offered, open loop", float64(due)/seconds, "messages/s")
	r.report.budget(Overload, "goodput, share of the maximum", float64(served)/seconds/most, "", "R1.5", 0.9, 0.95, true)
	for i, g := range slices.Backward(c) {
		was, is := first.groups[i], last.groups[i]
		r.report.add(Overload, g.level+": share served", float64(is.served-was.served)/float64(max(1, is.due-was.due)), "")
		r.report.add(Overload, g.level+": answered 503", float64(is.shed-was.shed)/seconds, "calls/s")
		g.mu.Lock()
		r.report.add(Overload, g.level+": due → sent, p99", ms(g.late.ValueAtQuantile(99)), "ms")
		p50, p99 := ms(g.accept.ValueAtQuantile(50)), ms(g.accept.ValueAtQuantile(99))
		g.mu.Unlock()
		r.report.add(Overload, g.level+": call → 202, p50", p50, "ms")
		if i == len(c)-1 {
			r.report.budget(Overload, g.level+": call → 202, p99", p99, "ms", "B4", 20, 5, false)
		} else {
			r.report.add(Overload, g.level+": call → 202, p99", p99, "ms")
		}
	}
	r.reportMemory(w)
	r.report.Series = append(r.report.Series, w.series()...)
}

// flatAfter is the shortest run whose memory growth is judged: before that, caches fill.
const flatAfter = time.Minute

// reportMemory compares the mean memory of the second quarter of the run with that of the last quarter.
func (r *run) reportMemory(w *overloadMonitor) {
	n := len(w.samples)
	second, last := w.memory(n/4, n/2), w.memory(n*3/4, n)
	r.report.add(Overload, "server memory, second quarter", second, "MiB")
	r.report.add(Overload, "server memory, last quarter", last, "MiB")
	growth := 100 * (last/second - 1)
	if r.Duration >= flatAfter {
		r.report.budget(Overload, "growth of memory", growth, "%", "B9", 10, 5, false)
		return
	}
	r.report.add(Overload, "growth of memory", growth, "%")
	r.report.Notes = append(r.report.Notes, fmt.Sprintf("overload: memory growth is judged in runs of %s or longer", flatAfter))
}
