package connlimit

// Reason is why a connection was closed to make room for another.
type Reason int

// Reasons to close a connection.
const (
	ReasonAddress Reason = iota // the limit of its address was reached
	ReasonTotal                 // the limit of all connections, or of unauthenticated ones, was reached
	reasons
)

// String returns the value of the metrics label.
func (r Reason) String() string { return [...]string{"address", "total"}[r] }

// Stats are the gauges and counters of a Limiter.
type Stats struct {
	Open, Limit                           int // connections
	Unauthenticated, UnauthenticatedLimit int
	Admitted                              uint64
	Refused                               uint64          // closed on accept because there was no room
	Closed                                [reasons]uint64 // unauthenticated connections closed to make room, by Reason
	OverShare                             uint64          // connections with valid credentials whose owner was at its limit
	Exhausted                             uint64          // accepts that failed for lack of a file descriptor
}

// Stats returns the current gauges and counters.
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
