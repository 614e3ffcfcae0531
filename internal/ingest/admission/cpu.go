package admission

import "time"

// cpuPressure reports whether many goroutines wait for a processor. A call that is admitted under CPU pressure is answered no sooner: the
// admission queue is ordered by level, the run queue of the scheduler is not.
type cpuPressure struct {
	runnable func() float64 // goroutines that wait for a processor, per processor
	sampled  time.Time      // time of the last sample; zero before the first
	high     bool           // result of the last sample
}

// cpuSampleInterval is the age at which a sample is repeated: ten time slices of a processor.
const cpuSampleInterval = 200 * time.Microsecond

// maxRunnablePerCPU is the number of waiting goroutines per processor that still counts as no pressure: an eighth of a millisecond of
// work. Measured with bench --overload: at 16 the 99th percentile of the highest level was half as long again, at 3 the goodput fell
// below nine tenths.
const maxRunnablePerCPU = 6

// check reports whether there is pressure, from a sample that is at most cpuSampleInterval old.
func (p *cpuPressure) check(now time.Time) bool {
	if now.Sub(p.sampled) >= cpuSampleInterval {
		p.sampled = now
		p.high = p.runnable() > maxRunnablePerCPU
	}
	return p.high
}
