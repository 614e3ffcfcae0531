package connlimit

// Reason is why a connection was closed for another.
type Reason int

// The reasons.
const (
	OfAddress Reason = iota // its address had too many
	OfAll                   // there were too many in all
	reasons
)

// String returns the reason as a label has it.
func (r Reason) String() string { return [...]string{"address", "total"}[r] }

// Stats are the gauges and counters of a Limiter.
type Stats struct {
	Open, Limit                           int // connections
	Unauthenticated, UnauthenticatedLimit int
	Admitted                              uint64
	Refused                               uint64          // closed at once: there was no room
	Closed                                [reasons]uint64 // unauthenticated ones closed for another, by Reason
	OverShare                             uint64          // connections with good credentials whose owner had used its share
	Exhausted                             uint64          // accepts that failed because no descriptor was left
}

// Stats returns the numbers as they are now.
func (l *Limiter) Stats() Stats {
	s := Stats{
		Limit: l.opts.Connections, UnauthenticatedLimit: l.opts.Unauthenticated, Admitted: l.counts.admitted.Load(),
		Refused: l.counts.refused.Load(), OverShare: l.counts.overShare.Load(), Exhausted: l.counts.exhausted.Load(),
	}
	for r := range s.Closed {
		s.Closed[r] = l.counts.closed[r].Load()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Open, s.Unauthenticated = l.mu.open, l.mu.idle.Len()
	return s
}
