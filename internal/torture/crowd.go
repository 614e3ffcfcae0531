package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// MinPhones is one recipient of each temper.
const MinPhones = 6

// recipientOf is the phone number of index n.
func recipientOf(n int) uint64 { return 967_773_000_000 + uint64(n) }

// temper is what the phones of a recipient are mostly like. Without recipients of a constant temper some things would
// hardly ever happen: that nobody acknowledges for three attempts, that one device crashes three times in a row, that
// nobody is there for a second.
type temper int

const (
	mixed  temper = iota // any habit
	mute                 // mostly silent
	crashy               // mostly crashing
	away                 // mostly not there
)

func temperOf(index int) temper {
	switch index % MinPhones {
	case 3:
		return mute
	case 4:
		return crashy
	case 5:
		return away
	default:
		return mixed
	}
}

// crowd runs all phones until ctx ends. Every third recipient has two devices.
func (r *round) crowd(ctx context.Context, phones *sync.WaitGroup) {
	for i := range r.Phones {
		devices := 1
		if i%3 == 0 {
			devices = 2
		}
		for d := range devices {
			phones.Go(func() {
				device := &device{round: r, random: r.stream(1000*(d+1) + i), index: i, name: fmt.Sprintf("device-%d", d)}
				device.run(ctx)
			})
		}
	}
}

// habit is what a phone does on one connection.
type habit int

const (
	prompt    habit = iota // acknowledges each at once
	reader                 // marks as read
	upTo                   // acknowledges by seq
	slow                   // acknowledges late
	silent                 // says that it is there, and acknowledges nothing
	vanishing              // its socket is cut without a word after some messages
	stalled                // is connected and does nothing at all
	crashing               // goes at the first push
)

func (t temper) habit(random *rand.Rand) habit {
	usual := map[temper]habit{mute: silent, crashy: crashing}
	if h, ok := usual[t]; ok && random.IntN(100) < 85 {
		return h
	}
	return habit(random.IntN(int(crashing) + 1))
}

// life is how long a connection lasts, unless something else ends it.
func (t temper) life(random *rand.Rand) time.Duration {
	switch t {
	case mute:
		return between(random, 2*time.Second, 6*time.Second)
	case away:
		return between(random, 200*time.Millisecond, 800*time.Millisecond)
	default:
		return between(random, 500*time.Millisecond, 4500*time.Millisecond)
	}
}

// absence is how long it takes until the next connection.
func (t temper) absence(random *rand.Rand) time.Duration {
	if t == away {
		return between(random, time.Second, 3*time.Second)
	}
	return between(random, 20*time.Millisecond, 200*time.Millisecond)
}
