package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// waitingEach is the number of messages that wait for each phone of the reconnect scenario.
const waitingEach = 5

// reconnect is budget B5: phones were connected, were away while messages came for them, and all connect again at once. The
// time ends when the node has confirmed the acknowledgement of every message.
func (r *run) reconnect(ctx context.Context) (err error) {
	phones := r.sockets("phones", or(r.Phones, 10_000))
	r.say("reconnect: %d phones, %d waiting messages each", phones, waitingEach)
	node, err := startServer(ctx, r.Binary, r.Flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.close()) }()
	urls := []string{node.node.URL}
	tokens, err := deviceTokens(ctx, urls, node.secrets.AdminToken, phones)
	if err != nil {
		return err
	}
	l := newLedger()
	before, err := dialFleet(ctx, urls, tokens, false, l)
	if err != nil {
		return err
	}
	before.close()
	if err := r.fill(ctx, node, l, phones, waitingEach*phones); err != nil {
		return err
	}
	used, err := rest(ctx, func() (time.Duration, error) { return cpuOfTree(node.node.PID()) })
	if err != nil {
		return err
	}
	began := time.Now()
	fleet, err := dialFleet(ctx, urls, tokens, false, l)
	if err != nil {
		return err
	}
	defer fleet.close()
	connected := time.Since(began)
	if err := awaitSettled(ctx, l); err != nil {
		return err
	}
	took := time.Since(began)
	now, err := cpuOfTree(node.node.PID())
	if err != nil {
		return err
	}
	r.report.add(Reconnect, fmt.Sprintf("%d phones connected after", phones), connected.Seconds(), "s")
	r.report.add(Reconnect, "server CPU per phone", float64((now-used).Microseconds())/float64(phones), "µs")
	r.report.budget(Reconnect, fmt.Sprintf("%d waiting messages each acknowledged after", waitingEach), took.Seconds(), "s", "B5", 5, 2, false)
	r.faults(Reconnect, l)
	if missing := l.accepted.Load() - l.settled.Load(); missing > 0 {
		r.fault(Reconnect, fmt.Sprintf("%d messages were not acknowledged", missing))
	}
	return nil
}

// awaitSettled waits until the acknowledgement of every accepted message is confirmed. It gives up when nothing has been
// confirmed for ten seconds.
func awaitSettled(ctx context.Context, l *ledger) error {
	const every, most = 5 * time.Millisecond, 2000
	for still, last := 0, int64(-1); still < most && l.settled.Load() < l.accepted.Load(); still++ {
		if err := pause(ctx, every); err != nil {
			return err
		}
		if now := l.settled.Load(); now != last {
			still, last = 0, now
		}
	}
	return nil
}

// fill sends a number of messages to the first recipients in turn, as fast as they are accepted.
func (r *run) fill(ctx context.Context, node *server, l *ledger, recipients, messages int) error {
	ld, err := dialLoad(ctx, []string{node.addr}, messageFormat(node.secrets.APIKey), min(300, messages), recipients, r.Size, l)
	if err != nil {
		return err
	}
	defer ld.close()
	return ld.count(ctx, messages)
}
