package bench

import "time"

// ramp is a load of consecutive stretches of equal length; within a stretch the rate changes linearly.
type ramp struct {
	rates   []float64 // messages per second at the ends of the stretches; none is 0
	stretch time.Duration
}

func (r *ramp) duration() time.Duration { return time.Duration(len(r.rates)-1) * r.stretch }

// lastWord is how long calls are repeated at least after the end of a ramp.
const lastWord = 30 * time.Second

// within bounds the time for a ramp and its retries. On an overloaded machine everything is late.
func (r *ramp) within() time.Duration { return 2*r.duration() + lastWord }

// at returns the rate after the given time; outside of the ramp it is the rate of the nearer end.
func (r *ramp) at(after time.Duration) float64 {
	i := int(max(after, 0) / r.stretch)
	if i >= len(r.rates)-1 {
		return r.rates[len(r.rates)-1]
	}
	part := float64(max(after, 0)-time.Duration(i)*r.stretch) / float64(r.stretch)
	return r.rates[i] + part*(r.rates[i+1]-r.rates[i])
}

// next returns the due time of the message that follows one due at the given time.
func (r *ramp) next(after time.Duration) time.Duration {
	return after + time.Duration(float64(time.Second)/r.at(after))
}
