package cache

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats count what a cache did since it was made.
type Stats struct {
	Name          string
	Size          int    // entries of the first level, with those that have ended
	Hits          uint64 // keys answered by the first level
	Misses        uint64 // keys it could not answer, or renewed
	Evictions     uint64 // entries that others displaced
	SecondHits    uint64 // keys answered by the second level
	SecondMisses  uint64 // keys it could not answer; those it was not asked for do not count
	Loads         uint64 // calls of the loader
	LoadErrors    uint64
	LoadTime      Latency // of the loader's calls
	Invalidations uint64  // notices that concerned this cache, this node's own ones too
	Drops         uint64  // times the first level was dropped whole, because invalidations may have been missed
}

// SharedStats count what became of the second level.
type SharedStats struct {
	Subscribed bool    // invalidations of other nodes are heard
	Lost       uint64  // times that this ended
	Calls      Latency // of the level, refused ones not
	Errors     uint64  // calls that failed or were refused
	Pending    int     // invalidations that the level and the other nodes do not know of yet
}

// LatencyBuckets is how many buckets a Latency has. Bucket i holds what took at most 1 µs << i, the last whatever took longer.
const LatencyBuckets = 25

// Latency is a histogram of durations.
type Latency struct {
	Sum     time.Duration
	Buckets [LatencyBuckets]uint64 // each without those before it
}

// Count is how many durations there were.
func (l *Latency) Count() (n uint64) {
	for _, bucket := range l.Buckets {
		n += bucket
	}
	return n
}

// latency is a Latency that grows.
type latency struct {
	sum     atomic.Int64
	buckets [LatencyBuckets]atomic.Uint64
}

func (l *latency) add(d time.Duration) {
	d = max(d, 0)
	l.sum.Add(int64(d))
	l.buckets[bucketOf(d)].Add(1)
}

// bucketOf rounds up: 1 µs is in bucket 0, 1 µs and 1 ns in bucket 1.
func bucketOf(d time.Duration) int {
	micros := uint64((d + time.Microsecond - 1) / time.Microsecond)
	if micros <= 1 {
		return 0
	}
	return min(bits.Len64(micros-1), LatencyBuckets-1)
}

func (l *latency) read() (read Latency) {
	read.Sum = time.Duration(l.sum.Load())
	for i := range l.buckets {
		read.Buckets[i] = l.buckets[i].Load()
	}
	return read
}
