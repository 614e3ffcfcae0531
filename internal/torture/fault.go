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

// process is one that can die and be brought back.
type process interface {
	Kill() error
	Pause() error
	Resume() error
	Restart(ctx context.Context) error
}

// fault is something bad that is done to one part, and undone.
type fault struct {
	part   string
	turn   *sync.Mutex // of the part: it suffers one fault at a time
	kills  bool        // it ends a process for certain
	strike func(ctx context.Context, s *strike) error
}

// strike is one occurrence of a fault. Its choices are its own, so that they do not depend on which of several ends first.
type strike struct {
	*fault
	*round
	random *rand.Rand
}

func (s *strike) run(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.strike(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", s.part, err)
	}
	return nil
}

func (s *strike) happened(kind checker.Kind) { s.note(checker.Entry{Kind: kind, Part: s.part}) }

// faults are those of one pass: each is dealt once, in an order that the seed chooses.
func (f *fleet) faults() (list []*fault) {
	for _, n := range f.nodes {
		list = append(list, ofProcess(fmt.Sprintf("node %d", n.number), n, 2, 1)...)
	}
	if f.ground == nil {
		return list
	}
	list = append(list, ofProcess("PostgreSQL", f.ground.postgres, 1, 1)...)
	for i, s := range f.ground.redis.Masters {
		list = append(list, ofRedis(fmt.Sprintf("Redis %d", i+1), s)...)
	}
	for _, l := range f.ground.links {
		list = append(list, &fault{part: l.Name(), turn: &sync.Mutex{}, strike: func(ctx context.Context, s *strike) error { return s.cut(ctx, l) }})
	}
	return list
}

// ofProcess gives the faults of a process, so many of each kind.
func ofProcess(part string, p process, kills, pauses int) (list []*fault) {
	turn := &sync.Mutex{}
	for range kills {
		list = append(list, &fault{part, turn, true, func(ctx context.Context, s *strike) error { return s.kill(ctx, p) }})
	}
	for range pauses {
		list = append(list, &fault{part, turn, false, func(ctx context.Context, s *strike) error { return s.pause(ctx, p) }})
	}
	return list
}

// ofRedis adds that the server forgets everything while it is used.
func ofRedis(part string, server *redisproc.Server) []*fault {
	list := ofProcess(part, server, 1, 1)
	return append(list, &fault{part, list[0].turn, false, func(ctx context.Context, s *strike) error {
		s.happened(checker.Wiped)
		return server.Flush(ctx)
	}})
}

func (s *strike) kill(ctx context.Context, p process) error {
	err := p.Kill()
	s.happened(checker.Killed)
	if err = errors.Join(err, sleep(ctx, s.fleet.absence(s.random))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return p.Restart(ctx)
}

// pause stops a process as it is. Some pauses end with a kill: it never wakes up again.
func (s *strike) pause(ctx context.Context, p process) error {
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

// harms are what a link suffers. 300 ms with 200 ms of jitter is far above a commit and below every timeout of a node.
var harms = []faultproxy.Harm{
	{Kind: faultproxy.Delayed, Delay: 300 * time.Millisecond, Jitter: 200 * time.Millisecond}, {Kind: faultproxy.Swallowed}, {Kind: faultproxy.Severed},
}

// cut harms a link.
func (s *strike) cut(ctx context.Context, l *faultproxy.Link) error {
	h, length := harms[s.random.IntN(len(harms))], s.length()
	if err := l.Hurt(h); err != nil {
		return err
	}
	s.note(checker.Entry{Kind: checker.Cut, Part: s.part, Status: string(h.Kind)})
	return errors.Join(sleep(ctx, length), l.Heal(context.WithoutCancel(ctx), h))
}

// length is how long a part suffers: mostly less than anybody's patience, sometimes about that, and where others can go on
// without it also longer than every timeout and breaker of a node (5 s, and five failures of at most 3 s), and now and then
// longer than presence lasts without word from its node (30 s).
func (s *strike) length() time.Duration {
	switch draw := s.random.IntN(40); {
	case draw < 24:
		return between(s.random, 200*time.Millisecond, time.Second)
	case draw < 36 || s.fleet.ground == nil:
		return between(s.random, time.Second, 3*time.Second)
	case draw < 39:
		return between(s.random, 6*time.Second, 12*time.Second)
	default:
		return between(s.random, 31*time.Second, 36*time.Second)
	}
}
