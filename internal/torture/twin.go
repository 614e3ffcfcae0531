package torture

import (
	"math/rand/v2"
	"sync"
)

// twins are two callers that use the same key at the same time: with the same body, and then both must be told of the same
// messages, or with two bodies, and then one of them must be told so and its messages must not be there.
func (s *sender) twins() {
	first := s.newCall(keyed, s.random.IntN(5) == 0, s.drawn(1)...)
	second := first
	if s.random.IntN(2) == 0 {
		second = s.newCall(func(int) string { return first.key }, first.batch, s.drawn(1)...)
	}
	var list []sent
	var other sync.WaitGroup
	twin := &sender{round: s.round, random: rand.New(rand.NewPCG(s.random.Uint64(), 0)), client: s.client}
	other.Go(func() { twin.see(second) })
	list = s.see(first)
	other.Wait()
	s.accepts(list)
}
