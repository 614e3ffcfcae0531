package cache

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats holds the counters of a cache since it was created.
type Stats struct {
	Name          string
	Size          int    // items in the first level, including expired ones
	Hits          uint64 // lookups that the first level answered
	Misses        uint64 // lookups that it could not answer, or that refreshed an item
	Evictions     uint64 // items evicted because of the capacity
	SecondHits    uint64 // lookups that the second level answered
	SecondMisses  uint64 // lookups that it could not answer; those that it was not asked for are not counted
	Loads         uint64 // calls of the loader
	LoadErrors    uint64
	LoadTime      Latency // duration of the loader's calls
	Invalidations uint64  // invalidations applied, including this node's own
	Drops         uint64  // times that the first level was dropped because invalidations may have been missed
}

// SharedStats holds the counters of the second level.
type SharedStats struct {
	Subscribed bool    // invalidations of other nodes are received
	Lost       uint64  // times that the subscription was lost
	Calls      Latency // duration of the level's calls, without refused ones
	Errors     uint64  // calls that failed or were refused
	Pending    int     // invalidations in progress or failed
}

// LatencyBuckets is the number of buckets of a Latency. Bucket i counts durations of at most 1 µs << i; the last one also counts
// longer ones.
const LatencyBuckets = 25

// Latency is a histogram of durations.
type Latency struct {
	Sum     time.Duration
	Buckets [LatencyBuckets]uint64 // counts per bucket, not cumulative
}

// Count returns the number of durations.
func (l *Latency) Count() uint64 {
	var n uint64
	for _, bucket := range l.Buckets {
		n += bucket
	}
	return n
}

// latency is a Latency that can be updated concurrently.
type latency struct {
	sum     atomic.Int64
	buckets [LatencyBuckets]atomic.Uint64
}

func (l *latency) add(d time.Duration) {
	d = max(d, 0)
	l.sum.Add(int64(d))
	l.buckets[bucketOf(d)].Add(1)
}

// bucketOf returns the bucket of d, rounded up: 1 µs is in bucket 0, 1 µs and 1 ns in bucket 1.
func bucketOf(d time.Duration) int {
	micros := uint64((d + time.Microsecond - 1) / time.Microsecond)
	if micros <= 1 {
		return 0
	}
	return min(bits.Len64(micros-1), LatencyBuckets-1)
}

func (l *latency) read() Latency {
	var read Latency
	read.Sum = time.Duration(l.sum.Load())
	for i := range l.buckets {
		read.Buckets[i] = l.buckets[i].Load()
	}
	return read
}
