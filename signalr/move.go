package signalr

import (
	"context"
	"math/rand/v2"
	"time"
)

// pacing is the interval at which a part of the connections is closed.
const pacing = 50 * time.Millisecond

// due returns how many of all connections must be closed after this number of parts. The first part is due at once.
// Fractions carry over to later parts, so that the average is exactly rate.
func due(all, rate, parts int) int {
	if rate <= 0 {
		return all
	}
	const perSecond = int(time.Second / pacing)
	return min(all, (parts*rate+perSecond-1)/perSecond)
}

// pace closes connections at rate per second (negative: all at once). It returns the number closed, and the context's
// error if ctx ended before all were closed.
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

// Move closes n random connections, or all if there are fewer, at rate per second (0: Limits.DrainRate; negative: all at
// once), while the server keeps serving. Their clients are told to reconnect. Options.OnNegotiate or a load balancer then
// decides to which node they connect: an overloaded node sheds connections in this way. Move returns the number of
// connections it has begun to close. It does not wait for their end, and stops early if ctx ends.
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
