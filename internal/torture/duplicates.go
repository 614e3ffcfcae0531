package torture

import (
	"math/rand/v2"
	"sync"
)

// sendConcurrentDuplicates makes two calls with one key at the same time. With equal bodies both must be answered with
// the same messages. With different bodies one must be answered idempotency_mismatch and its messages must not exist.
func (s *sender) sendConcurrentDuplicates() {
	first := s.newCall(keyed, s.random.IntN(5) == 0, s.drawn(1)...)
	second := first
	if s.random.IntN(2) == 0 {
		second = s.newCall(func(int) string { return first.key }, first.batch, s.drawn(1)...)
	}
	var list []sent
	var other sync.WaitGroup
	duplicate := &sender{round: s.round, random: rand.New(rand.NewPCG(s.random.Uint64(), 0)), client: s.client}
	other.Go(func() { duplicate.sendUntilAnswered(second) })
	list = s.sendUntilAnswered(first)
	other.Wait()
	s.remember(list)
}
