package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

// RunVersus compares this build with other systems: messengers by their CPU time per message, balancers with the gateway by
// their CPU time per call.
func RunVersus(ctx context.Context, o Options, out, progress io.Writer) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	files, err := raiseFiles()
	if err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	r := &run{Options: o, progress: progress, files: min(files-500, maxSockets)}
	r.report.Machine = machine()
	var messengers []peer
	var balancers []balancer
	for _, name := range o.Versus {
		p, err := peerOf(name, &o)
		if err != nil {
			return nil, err
		}
		if p.balance != nil {
			balancers = append(balancers, p.balance)
		} else {
			messengers = append(messengers, p)
		}
	}
	if len(messengers) > 0 {
		if err := r.versus(ctx, messengers); err != nil {
			return &r.report, fmt.Errorf("versus: %w", err)
		}
	}
	if len(balancers) > 0 {
		if err := r.balance(ctx, balancers); err != nil {
			return &r.report, fmt.Errorf("gateway: %w", err)
		}
	}
	return &r.report, r.report.print(out)
}

// subject is a messenger under measurement with its phones, its callers and the results of its rounds.
type subject struct {
	messenger
	name       string
	ledger     *ledger
	load       *load
	disconnect func()
	perPhone   float64 // KiB of memory per connected phone

	cpu, rate []float64 // µs per message, messages/s
}

// versus compares this build with the messengers. All run at the same time with connected phones, and take calls in turn.
func (r *run) versus(ctx context.Context, others []peer) (err error) {
	own := peer{name: "esh3ar", start: func(ctx context.Context) (messenger, error) { return startEsh3ar(ctx, &r.Options) }}
	all := append([]peer{own}, others...)
	phones, callers := min(or(r.Phones, 4000), (r.files-1000)/len(all)), or(r.Callers, 300)
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.end())
		}
	}()
	for _, p := range all {
		r.say("versus: start %s with %d phones and %d callers", p.name, phones, callers)
		s := &subject{name: p.name, ledger: newLedger()}
		subjects = append(subjects, s)
		if err := s.begin(ctx, p, phones, callers, r.Size); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if _, _, err := s.round(ctx, max(r.Warmup, time.Second)); err != nil {
			return fmt.Errorf("warm up %s: %w", p.name, err)
		}
	}
	err = rounds.Each(ctx, r.Rounds, len(subjects), func(round, i int) error {
		s := subjects[i]
		cpu, rate, err := s.round(ctx, r.Duration)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.say("versus: round %d of %d, %s: %.1f µs, %.0f messages/s", round+1, r.Rounds, s.name, cpu, rate)
		s.cpu, s.rate = append(s.cpu, cpu), append(s.rate, rate)
		return nil
	})
	if err != nil {
		return err
	}
	r.reportVersus(subjects, phones, callers)
	return nil
}

func (r *run) reportVersus(subjects []*subject, phones, callers int) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(
		"versus: %d phones and %d callers in a closed loop for each system; server CPU from the first call until the system is at rest again", phones, callers))
	for _, s := range subjects {
		r.report.addRounds(s.name, "CPU per message", s.cpu, "µs")
		r.report.addRounds(s.name, "saturated", s.rate, "messages/s")
		r.report.add(s.name, "memory per phone, just connected", s.perPhone, "KiB")
		r.faults(s.name, s.ledger)
	}
	own := subjects[0]
	for _, s := range subjects[1:] {
		least, aim := 0.0, 0.0
		if s.name == peers["centrifugo"].name { // the budget's reference
			least, aim = 1.15, 1
		}
		r.report.addRatio(own.name, "CPU per message ÷ "+s.name, own.cpu, s.cpu, "B11", least, aim)
		r.report.addRounds(own.name, "messages/s ÷ "+s.name, rounds.Ratios(own.rate, s.rate), "")
	}
}

// begin starts the system and connects phones and callers.
func (s *subject) begin(ctx context.Context, p peer, phones, callers, size int) (err error) {
	if s.messenger, err = p.start(ctx); err != nil {
		return err
	}
	before, err := s.memory()
	if err != nil {
		return err
	}
	if s.disconnect, err = s.connect(ctx, phones, s.ledger); err != nil {
		return err
	}
	after, err := s.memory()
	if err != nil {
		return err
	}
	s.perPhone = float64(after-before) / float64(phones) / 1024
	s.load, err = dialLoad(ctx, []string{s.addr()}, s.format(), callers, phones, size, s.ledger)
	return err
}

func (s *subject) end() (err error) {
	if s.load != nil {
		s.load.close()
	}
	if s.disconnect != nil {
		s.disconnect()
	}
	if s.messenger != nil {
		err = s.messenger.close()
	}
	return err
}

// round runs a closed loop for a time. The CPU time counts until the system is at rest, so that what it does later for the
// messages of a round, such as flushes, counts too. The rate counts while calls are made.
func (s *subject) round(ctx context.Context, duration time.Duration) (perMessage, rate float64, err error) {
	before, err := s.messenger.cpuTime()
	if err != nil {
		return 0, 0, err
	}
	was := s.ledger.accepted.Load()
	var took time.Duration
	var answered int64
	began := time.Now()
	err = stretch(ctx, 0, duration, s.load.closed, func() {}, func() { answered, took = s.ledger.accepted.Load()-was, time.Since(began) })
	if err != nil {
		return 0, 0, err
	}
	if err := drain(ctx, s.ledger); err != nil {
		return 0, 0, err
	}
	after, err := rest(ctx, s.messenger.cpuTime)
	if err != nil {
		return 0, 0, err
	}
	messages := s.ledger.accepted.Load() - was
	if messages == 0 || s.ledger.refused.Load() > 0 {
		return 0, 0, fmt.Errorf("calls: %d accepted and %d refused, want some and 0", messages, s.ledger.refused.Load())
	}
	return float64((after - before).Nanoseconds()) / 1000 / float64(messages), float64(answered) / took.Seconds(), nil
}

// Parameters of rest.
const (
	restEvery  = 100 * time.Millisecond
	restShare  = 0.1 // of one core; connected phones cost a little
	restWithin = 100 // polls
)

// rest waits until a process uses little CPU time and returns what it has used. It gives up after ten seconds.
func rest(ctx context.Context, cpu func() (time.Duration, error)) (time.Duration, error) {
	used, err := cpu()
	for range restWithin {
		if err != nil {
			return 0, err
		}
		began := time.Now()
		if err := pause(ctx, restEvery); err != nil {
			return 0, err
		}
		was := used
		used, err = cpu()
		if float64(used-was) < restShare*float64(time.Since(began)) {
			break
		}
	}
	return used, err
}
