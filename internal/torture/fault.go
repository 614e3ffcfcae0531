package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/faultproxy"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// process is a process that can be killed and restarted.
type process interface {
	Kill() error
	Pause() error
	Resume() error
	Restart(ctx context.Context) error
}

// fault is one kind of failure of one part. inject applies it and removes it again.
type fault struct {
	part   string
	turn   *sync.Mutex // held during a fault of the part: one fault at a time
	kills  bool        // whether it always kills a process
	inject func(ctx context.Context, s *faultOccurrence) error
}

// faultOccurrence is one execution of a fault. It has its own random stream, so that its choices do not depend on which
// of several concurrent faults ends first.
type faultOccurrence struct {
	*fault
	*round
	random *rand.Rand
}

func (s *faultOccurrence) run(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.inject(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", s.part, err)
	}
	return nil
}

func (s *faultOccurrence) happened(kind checker.Kind) {
	s.note(checker.Entry{Kind: kind, Part: s.part})
}

// faults returns the faults of one pass. Each is injected once per pass, in an order chosen by the seed.
func (f *fleet) faults() (list []*fault) {
	for _, n := range f.nodes {
		list = append(list, ofProcess(fmt.Sprintf("node %d", n.number), n, 2, 1)...)
	}
	if f.environment == nil {
		return list
	}
	list = append(list, ofProcess("PostgreSQL", f.environment.postgres, 1, 1)...)
	for i, s := range f.environment.redis.Masters {
		list = append(list, ofRedis(fmt.Sprintf("Redis %d", i+1), s)...)
	}
	for _, l := range f.environment.links {
		list = append(list, &fault{part: l.Name(), turn: &sync.Mutex{}, inject: func(ctx context.Context, s *faultOccurrence) error { return s.disturbLink(ctx, l) }})
	}
	return list
}

// ofProcess returns the given number of kills and pauses of a process.
func ofProcess(part string, p process, kills, pauses int) (list []*fault) {
	turn := &sync.Mutex{}
	for range kills {
		list = append(list, &fault{part, turn, true, func(ctx context.Context, s *faultOccurrence) error { return s.kill(ctx, p) }})
	}
	for range pauses {
		list = append(list, &fault{part, turn, false, func(ctx context.Context, s *faultOccurrence) error { return s.pause(ctx, p) }})
	}
	return list
}

// ofRedis returns the faults of a process plus a flush of all keys while the server is in use.
func ofRedis(part string, server *redisproc.Server) []*fault {
	list := ofProcess(part, server, 1, 1)
	return append(list, &fault{part, list[0].turn, false, func(ctx context.Context, s *faultOccurrence) error {
		s.happened(checker.Wiped)
		return server.Flush(ctx)
	}})
}

func (s *faultOccurrence) kill(ctx context.Context, p process) error {
	err := p.Kill()
	s.happened(checker.Killed)
	if err = errors.Join(err, sleep(ctx, s.fleet.absence(s.random))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return p.Restart(ctx)
}

// pause stops a process and resumes it later. One pause in four ends with a kill instead.
func (s *faultOccurrence) pause(ctx context.Context, p process) error {
	length, dies := s.length(), s.random.IntN(4) == 0
	if err := p.Pause(); err != nil {
		return err
	}
	s.happened(checker.Paused)
	err := sleep(ctx, length)
	if err == nil && dies {
		return s.kill(ctx, p)
	}
	return errors.Join(err, p.Resume())
}

// linkFaults are the faults of a link. A delay of 300 ms with 200 ms of jitter is far above the time of a commit and
// below every timeout of a node.
var linkFaults = []faultproxy.Fault{
	{Kind: faultproxy.Delayed, Delay: 300 * time.Millisecond, Jitter: 200 * time.Millisecond}, {Kind: faultproxy.Swallowed}, {Kind: faultproxy.Severed},
}

// disturbLink injects a random fault into a link and clears it.
func (s *faultOccurrence) disturbLink(ctx context.Context, l *faultproxy.Link) error {
	h, length := linkFaults[s.random.IntN(len(linkFaults))], s.length()
	if err := l.Inject(h); err != nil {
		return err
	}
	s.note(checker.Entry{Kind: checker.Cut, Part: s.part, Status: string(h.Kind)})
	return errors.Join(sleep(ctx, length), l.Clear(context.WithoutCancel(ctx), h))
}

// length returns the duration of a fault. Most are shorter than any timeout, some are about as long. In a cluster some
// exceed every timeout and circuit breaker of a node (5 s, and five failures of at most 3 s), and a few exceed the
// lifetime of unrefreshed presence (30 s).
func (s *faultOccurrence) length() time.Duration {
	switch draw := s.random.IntN(40); {
	case draw < 24:
		return between(s.random, 200*time.Millisecond, time.Second)
	case draw < 36 || s.fleet.environment == nil:
		return between(s.random, time.Second, 3*time.Second)
	case draw < 39:
		return between(s.random, 6*time.Second, 12*time.Second)
	default:
		return between(s.random, 31*time.Second, 36*time.Second)
	}
}
