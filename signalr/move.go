package signalr

import (
	"context"
	"math/rand/v2"
	"time"
)

// pacing is how often a part of the connections is closed.
const pacing = 50 * time.Millisecond

// due is how many of all must have been closed after so many parts, the first of which is at once: what is left of a whole number
// is for a later part, so the pace is the rate.
func due(all, rate, parts int) int {
	if rate <= 0 {
		return all
	}
	const perSecond = int(time.Second / pacing)
	return min(all, (parts*rate+perSecond-1)/perSecond)
}

// pace ends connections, rate per second (negative: all at once). It returns how many it has told, and the context's
// error if that ended before all were.
func pace(ctx context.Context, conns []*Conn, rate int, e func() ending) (told int, err error) {
	ticker := time.NewTicker(pacing)
	defer ticker.Stop()
	for parts := 1; told < len(conns); parts++ {
		for ; told < due(len(conns), rate, parts); told++ {
			conns[told].end(e())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return told, context.Cause(ctx)
		}
	}
	return told, nil
}

// Move closes n connections, or all if there are fewer, with leave to reconnect, rate per second (0: Limits.DrainRate;
// negative: all at once), while the server goes on. Where the clients come back is decided at negotiate, by
// Options.OnNegotiate or by a balancer: a node over its load moves a part of them away. The connections are chosen at
// random. It returns how many it has closed when the last one was told, not when it was gone, or when ctx ends.
func (s *Server) Move(ctx context.Context, n, rate int) (int, error) {
	var open []*Conn
	for _, c := range s.registry.appendAll(nil) {
		if c.life.phase.Load() == phaseOpen {
			open = append(open, c)
		}
	}
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	if rate == 0 {
		rate = s.opts.Limits.DrainRate
	}
	return pace(ctx, open[:max(0, min(n, len(open)))], rate, movedEnding)
}

func movedEnding() ending {
	return ending{allowReconnect: true, code: closeNormal, status: StatusNormal}
}
