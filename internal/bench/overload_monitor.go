package bench

import (
	"os"
	"time"
)

// sample is the state of an overload run at one time.
type sample struct {
	at     time.Time
	groups []counts
	slow   []float64     // 99th percentile of each tenant's accepted calls since the previous sample, in milliseconds
	memory int64         // resident memory of the server in bytes
	server time.Duration // CPU time of the server
	load   time.Duration // CPU time of this process
}

// overloadMonitor samples the tenants and the server.
type overloadMonitor struct {
	crowd   tenantLoad
	pid     int
	every   time.Duration
	samples []sample
}

// fewSamples is the least that a plot needs.
const fewSamples = 30

// newOverloadMonitor samples once a second, and more often in a short run.
func newOverloadMonitor(c tenantLoad, pid int, whole time.Duration) *overloadMonitor {
	return &overloadMonitor{crowd: c, pid: pid, every: max(20*time.Millisecond, min(time.Second, whole/fewSamples))}
}

// run takes samples until over is closed, and a last one then.
func (w *overloadMonitor) run(over <-chan struct{}) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if err := w.look(); err != nil {
			return err
		}
		select {
		case <-over:
			return w.look()
		case <-tick.C:
		}
	}
}

func (w *overloadMonitor) look() (err error) {
	s := sample{at: time.Now()}
	for _, g := range w.crowd {
		s.groups, s.slow = append(s.groups, g.counts()), append(s.slow, g.recentP99())
	}
	if s.memory, err = rssOf(w.pid); err != nil {
		return err
	}
	if s.server, err = cpuOf(w.pid); err != nil {
		return err
	}
	s.load, err = cpuOf(os.Getpid())
	w.samples = append(w.samples, s)
	return err
}

// memory returns the mean of the samples in [from, to), in MiB.
func (w *overloadMonitor) memory(from, to int) float64 {
	sum := int64(0)
	for _, s := range w.samples[from:to] {
		sum += s.memory
	}
	return float64(sum) / float64(max(1, to-from)) / (1 << 20)
}

// rates returns a tenant's calls per second between samples.
func (w *overloadMonitor) rates(group int, of func(counts) int64) (perSecond []float64) {
	for i := 1; i < len(w.samples); i++ {
		a, b := &w.samples[i-1], &w.samples[i]
		if took := b.at.Sub(a.at).Seconds(); took > 0 {
			perSecond = append(perSecond, float64(of(b.groups[group])-of(a.groups[group]))/took)
		}
	}
	return perSecond
}

func served(c counts) int64 { return c.served }
func due(c counts) int64    { return c.due }

// series returns the samples for the report.
func (w *overloadMonitor) series() (all []Series) {
	for i, g := range w.crowd {
		all = append(all, Series{Overload, g.level + " served", "messages/s", w.every.Seconds(), w.rates(i, served)},
			Series{Overload, g.level + " offered", "messages/s", w.every.Seconds(), w.rates(i, due)})
	}
	slow := Series{Overload, levels[len(levels)-1].level + ": call → 202, p99", "ms", w.every.Seconds(), nil}
	for _, s := range w.samples[1:] {
		slow.Values = append(slow.Values, s.slow[len(s.slow)-1])
	}
	all = append(all, slow)
	memory := Series{Overload, "server memory", "MiB", w.every.Seconds(), nil}
	for i := range w.samples[1:] {
		memory.Values = append(memory.Values, w.memory(i+1, i+2))
	}
	return append(all, memory)
}
