package signalr

import "time"

var epoch = time.Now()

// Now returns the nanoseconds since this process started, on the monotonic clock. It is the scale of
// [Conn.LastReceived].
func Now() int64 { return int64(time.Since(epoch)) }
