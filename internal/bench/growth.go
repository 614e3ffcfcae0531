package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

// dimension is one curve of the growth scenario: nodes that differ in one respect.
type dimension struct {
	name     string
	budgeted bool // whether B7 bounds the growth from the first to the last variant
	variants []variant
}

// variant is one node of a dimension.
type variant struct {
	x          int
	phones     int
	size       int // bytes of content
	stored     int // messages of other, offline recipients that are stored before
	businesses int
	depth      int // messages that wait for each phone while it is away; zero: phones are connected
}

// dimensions returns the curves of the growth scenario. Short runs scale them down by Phones and Stored.
func (r *run) dimensions() []dimension {
	phones, stored := or(r.Phones, 10_000), or(r.Stored, 1_000_000)
	usual := variant{phones: max(phones/10, 1), size: r.Size, businesses: 1}
	vary := func(name string, budgeted bool, values []int, set func(v *variant, x int)) dimension {
		d := dimension{name: name, budgeted: budgeted}
		for _, x := range values {
			v := usual
			v.x = x
			set(&v, x)
			d.variants = append(d.variants, v)
		}
		return d
	}
	return []dimension{
		vary("phones", true, []int{max(phones/100, 1), max(phones/10, 1), phones}, func(v *variant, x int) { v.phones = x }),
		vary("stored messages", true, []int{max(stored/100, 1), max(stored/10, 1), stored}, func(v *variant, x int) { v.stored = x }),
		vary("businesses", true, []int{1, max(phones/100, 1), phones}, func(v *variant, x int) { v.businesses = x }),
		vary("waiting messages of each recipient", false, []int{10, 100, 1000}, func(v *variant, x int) {
			v.depth, v.phones = x, max(phones/100, 1)
		}),
		vary("bytes of content", false, []int{minSize, 200, 1000, 4000}, func(v *variant, x int) { v.size = x }),
	}
}

// growth is budget B7: CPU per message, from the call to the settled acknowledgement, over each dimension. The nodes of a
// dimension run at the same time and are measured in alternating rounds.
func (r *run) growth(ctx context.Context) error {
	for _, d := range r.dimensions() {
		if err := r.grow(ctx, &d); err != nil {
			return fmt.Errorf("over %s: %w", d.name, err)
		}
	}
	return nil
}

func (r *run) grow(ctx context.Context, d *dimension) (err error) {
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.end())
		}
	}()
	for _, v := range d.variants {
		r.say("growth: prepare %d %s", v.x, d.name)
		s := &subject{name: fmt.Sprintf("%d %s", v.x, d.name), ledger: newLedger()}
		subjects = append(subjects, s)
		if err := r.prepare(ctx, s, &v); err != nil {
			return err
		}
		if _, _, err := r.growthRound(ctx, s, &v, max(r.Warmup, 100*time.Millisecond)); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	err = rounds.Each(ctx, r.Rounds, len(subjects), func(round, i int) error {
		s := subjects[i]
		cpu, rate, err := r.growthRound(ctx, s, &d.variants[i], r.Duration)
		if err != nil {
			return err
		}
		r.say("growth: round %d of %d, %s: %.1f µs, %.0f messages/s", round+1, r.Rounds, s.name, cpu, rate)
		s.cpu = append(s.cpu, cpu)
		return nil
	})
	if err != nil {
		return err
	}
	r.reportGrowth(d, subjects)
	return nil
}

func (r *run) reportGrowth(d *dimension, subjects []*subject) {
	curve := Curve{Dimension: d.name, What: "CPU per message", Unit: "µs"}
	for i, s := range subjects {
		r.report.addRounds(Growth, "CPU per message, "+s.name, s.cpu, "µs")
		curve.Points = append(curve.Points, Point{float64(d.variants[i].x), rounds.Of(s.cpu)})
		r.faults(Growth, s.ledger)
	}
	least, aim := 0.0, 0.0
	if d.budgeted {
		least, aim = 1.1, 1.05
	}
	first, last := subjects[0], subjects[len(subjects)-1]
	r.report.addRatio(Growth, fmt.Sprintf("%s ÷ %d", last.name, d.variants[0].x), last.cpu, first.cpu, "B7", least, aim)
	r.report.Curves = append(r.report.Curves, curve)
}

// prepare starts the node of a variant and fills it.
func (r *run) prepare(ctx context.Context, s *subject, v *variant) error {
	own := peer{name: s.name, start: func(ctx context.Context) (messenger, error) { return startEsh3ar(ctx, &r.Options) }}
	connected := v.phones
	if v.depth > 0 {
		connected = 0
	}
	callers := or(r.Callers, 300)
	if err := s.begin(ctx, own, connected, callers, v.size); err != nil {
		return err
	}
	s.load.recipients = v.phones
	node := s.messenger.(*esh3ar).node
	if err := unlimit(ctx, node); err != nil {
		return err
	}
	if v.stored > 0 {
		if err := store(ctx, node, v.stored, v.size); err != nil {
			return fmt.Errorf("store messages: %w", err)
		}
	}
	if v.businesses > 1 {
		heads, err := businessHeads(ctx, node, v.businesses)
		if err != nil {
			return fmt.Errorf("create businesses: %w", err)
		}
		for _, c := range s.load.callers {
			c.heads = heads
		}
	}
	_, err := rest(ctx, s.cpuTime)
	return err
}

func (r *run) growthRound(ctx context.Context, s *subject, v *variant, duration time.Duration) (perMessage, rate float64, err error) {
	if v.depth > 0 {
		return s.backlogRound(ctx, v)
	}
	return s.round(ctx, duration)
}

// backlogRound sends messages while the phones are away, and then connects them. The CPU time counts from the first call to
// the last confirmed acknowledgement, without what connecting the phones costs if nothing waits.
func (s *subject) backlogRound(ctx context.Context, v *variant) (perMessage, rate float64, err error) {
	node := s.messenger.(*esh3ar).node
	urls := []string{node.node.URL}
	tokens, err := deviceTokens(ctx, urls, node.secrets.AdminToken, v.phones)
	if err != nil {
		return 0, 0, err
	}
	visit := func(messages int) (used, took time.Duration, err error) {
		before, err := rest(ctx, s.cpuTime)
		if err != nil {
			return 0, 0, err
		}
		began := time.Now()
		if err := s.load.count(ctx, messages); err != nil {
			return 0, 0, err
		}
		f, err := dialFleet(ctx, urls, tokens, false, s.ledger)
		if err != nil {
			return 0, 0, err
		}
		defer f.close()
		if err := awaitSettled(ctx, s.ledger); err != nil {
			return 0, 0, err
		}
		took = time.Since(began)
		after, err := rest(ctx, s.cpuTime)
		return after - before, took, err
	}
	empty, _, err := visit(0)
	if err != nil {
		return 0, 0, err
	}
	messages := v.phones * v.depth
	used, took, err := visit(messages)
	if err != nil {
		return 0, 0, err
	}
	return float64((used - empty).Nanoseconds()) / 1000 / float64(messages), float64(messages) / took.Seconds(), nil
}
