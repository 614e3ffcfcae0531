package spill

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// randomCall returns a call with random and extreme values.
func randomCall(rng *rand.Rand) *esh3ar.Call {
	c := &esh3ar.Call{Business: esh3ar.NewBusinessID(), Drained: true}
	if rng.IntN(2) == 0 {
		c.Batch = esh3ar.NewBatchID()
	}
	if rng.IntN(2) == 0 {
		c.Key = &esh3ar.IdempotencyKey{Key: randomText(rng), ExpiresAt: esh3ar.Time(randomNumber(rng))}
		for i := range c.Key.Fingerprint {
			c.Key.Fingerprint[i] = byte(rng.Uint32())
		}
	}
	for range 1 + rng.IntN(3) {
		m := &esh3ar.Message{
			ID: esh3ar.NewMessageID(), Business: c.Business, Recipient: esh3ar.Recipient(randomNumber(rng)), Priority: esh3ar.Priority(rng.IntN(esh3ar.Priorities)),
			From: randomText(rng), Subject: randomText(rng), Content: randomText(rng), CorrelationID: randomText(rng),
			SendAt: esh3ar.Time(randomNumber(rng)), ExpiresAt: esh3ar.Time(randomNumber(rng)), TTL: time.Duration(rng.Int64N(math.MaxInt64/1_000_000)) * time.Millisecond,
		}
		if n := rng.IntN(4); n > 0 {
			m.Metadata = map[string]string{}
			for range n {
				m.Metadata[randomText(rng)] = randomText(rng)
			}
		}
		c.Messages = append(c.Messages, m)
	}
	return c
}

func randomText(rng *rand.Rand) string {
	runes := make([]rune, rng.IntN(200))
	for i := range runes {
		runes[i] = []rune("a\x00مש\U0001F600\u0301\n")[rng.IntN(7)]
	}
	return string(runes)
}

func randomNumber(rng *rand.Rand) int64 {
	return []int64{0, 1, -1, math.MaxInt64, math.MinInt64, rng.Int64(), rng.Int64N(1000)}[rng.IntN(7)]
}

func TestCodec_AnyCall_RoundTrips(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		c := randomCall(rng)
		row := appendCall([]byte("before"), c)[len("before"):]
		got, err := decodeCall(row)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("seed %d: %v\ngot  %+v\nwant %+v", seed, err, got, c)
		}
		at := rng.IntN(len(row))
		row[at] ^= 1 << rng.IntN(8)
		if _, err := decodeCall(row); err == nil {
			t.Fatalf("seed %d: flipped bit in byte %d: got nil, want an error", seed, at)
		}
	}
}

// FuzzDecode decodes arbitrary bytes: the result is a call or an error, never a panic.
func FuzzDecode(f *testing.F) {
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Recipient: 1, Content: "x", Metadata: map[string]string{"a": "b"}}
	row := appendCall(nil, &esh3ar.Call{Messages: []*esh3ar.Message{m}, Key: &esh3ar.IdempotencyKey{Key: "k"}, Batch: esh3ar.NewBatchID()})
	f.Add(row)
	f.Add(quarantineRow(1, "why", row))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decodeCall(data); err == nil && len(appendCall(nil, c)) != len(data) {
			t.Errorf("encoded again: got %d bytes, want %d", len(appendCall(nil, c)), len(data))
		}
		_, _, _, _ = decodeQuarantineRow(data)
		r := codec.NewReader(data) // without the checksum, which rejects nearly all inputs
		for range r.Count() {
			_ = r.Message()
		}
	})
}
