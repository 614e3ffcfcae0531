package bench

import "time"

// ramp is a load that comes and goes: stretches of one length, and over each the rate goes straight from one value to the next.
type ramp struct {
	rates   []float64 // messages per second where stretches begin and end; none is 0
	stretch time.Duration
}

func (r *ramp) duration() time.Duration { return time.Duration(len(r.rates)-1) * r.stretch }

// lastWord is how long calls are repeated at least after the end of a ramp.
const lastWord = 30 * time.Second

// within is what a ramp may take with its repeats: where the machine has no time for it, everything is late.
func (r *ramp) within() time.Duration { return 2*r.duration() + lastWord }

// at is the rate after so much time; before and after the ramp it is that of its ends.
func (r *ramp) at(after time.Duration) float64 {
	i := int(max(after, 0) / r.stretch)
	if i >= len(r.rates)-1 {
		return r.rates[len(r.rates)-1]
	}
	part := float64(max(after, 0)-time.Duration(i)*r.stretch) / float64(r.stretch)
	return r.rates[i] + part*(r.rates[i+1]-r.rates[i])
}

// next is when a message is due if the one before it was at that time.
func (r *ramp) next(after time.Duration) time.Duration {
	return after + time.Duration(float64(time.Second)/r.at(after))
}
