package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// MinPhones is the smallest number of recipients that includes every profile.
const MinPhones = 6

// recipientOf returns the phone number of recipient index n.
func recipientOf(n int) uint64 { return 967_773_000_000 + uint64(n) }

// profile is the dominant behaviour of a recipient's phones. Some situations need a constant profile to occur at all: no
// acknowledgement for three attempts, three crashes of one device in a row, no connection for a second.
type profile int

const (
	mixed  profile = iota // all behaviours with equal probability
	mute                  // mostly silent
	crashy                // mostly crashing
	away                  // mostly offline
)

func profileOf(index int) profile {
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

// startPhones starts all phones; they run until ctx ends. Every third recipient has two devices.
func (r *round) startPhones(ctx context.Context, phones *sync.WaitGroup) {
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

// behaviour is what a phone does on one connection.
type behaviour int

const (
	prompt    behaviour = iota // acknowledges each message at once
	reader                     // marks messages as read
	upTo                       // acknowledges by seq
	slow                       // acknowledges after a delay
	silent                     // pings but acknowledges nothing
	vanishing                  // drops its socket without a close after some messages
	stalled                    // connected, but sends nothing: no pings, pongs or acknowledgements
	crashing                   // drops its socket at the first push
)

func (t profile) behaviour(random *rand.Rand) behaviour {
	usual := map[profile]behaviour{mute: silent, crashy: crashing}
	if h, ok := usual[t]; ok && random.IntN(100) < 85 {
		return h
	}
	return behaviour(random.IntN(int(crashing) + 1))
}

// life returns the longest time that a connection stays open.
func (t profile) life(random *rand.Rand) time.Duration {
	switch t {
	case mute:
		return between(random, 2*time.Second, 6*time.Second)
	case away:
		return between(random, 200*time.Millisecond, 800*time.Millisecond)
	default:
		return between(random, 500*time.Millisecond, 4500*time.Millisecond)
	}
}

// absence returns the time until the next connection.
func (t profile) absence(random *rand.Rand) time.Duration {
	if t == away {
		return between(random, time.Second, 3*time.Second)
	}
	return between(random, 20*time.Millisecond, 200*time.Millisecond)
}
