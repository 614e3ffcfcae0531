package signalr

// SlowPolicy selects what TryWrite and TrySend, of a [Conn] or a [Target], do when the outbox of a slow client is full.
// Write and Send always wait. With every policy, the memory of one client is bounded, a slow client does not delay others,
// and completions are never dropped.
type SlowPolicy int

const (
	// SlowRefuse returns [ErrFull], so that the application decides. It is the default.
	SlowRefuse SlowPolicy = iota
	// SlowDisconnect closes the connection, tells the client that it may reconnect, and returns [ErrClosed].
	SlowDisconnect
	// SlowDropOldest queues up to Limits.Outbox further bytes behind the full outbox and drops the oldest of these frames.
	SlowDropOldest
	// SlowKeepNewest is like SlowDropOldest, but a frame first replaces the waiting frame with the same key, see
	// [Frame.Keyed]. It suits prices, positions and other states of which only the latest matters.
	SlowKeepNewest
)

// Keyed returns a copy of the frame with a key for [SlowKeepNewest]. A frame without a key replaces no other frame.
func (f Frame) Keyed(key string) Frame {
	f.key = key
	return f
}

// backlog holds the frames that wait behind a full outbox, oldest first. It is guarded by outbox.mu. It copies the bytes,
// so that the application may reuse its buffers when the send returns.
type backlog struct {
	frames []waitingFrame
	size   int
}

type waitingFrame struct {
	key      string
	b        []byte
	messages int64
	fixed    bool // must not be dropped
}

// add appends a frame and drops the oldest others until at most limit bytes remain. It returns the number of messages
// dropped.
func (l *backlog) add(f waitingFrame, limit int) (dropped int64) {
	if f.key != "" {
		for i := range l.frames {
			if l.frames[i].key == f.key {
				dropped += l.drop(i)
				break // there is never more than one
			}
		}
	}
	l.frames = append(l.frames, f)
	l.size += len(f.b)
	for i := 0; l.size > limit && i < len(l.frames)-1; {
		if l.frames[i].fixed {
			i++
			continue
		}
		dropped += l.drop(i)
	}
	return dropped
}

func (l *backlog) drop(i int) (messages int64) {
	messages = l.frames[i].messages
	l.size -= len(l.frames[i].b)
	l.frames = append(l.frames[:i], l.frames[i+1:]...)
	return messages
}

// writeOr is write with a policy for a full outbox.
func (o *outbox) writeOr(frames []Frame, policy SlowPolicy) error {
	for {
		err := o.write(frames)
		if err != ErrFull || policy == SlowRefuse { //nolint:errorlint // our own, never wrapped
			return err
		}
		if policy == SlowDisconnect {
			o.conn.end(ending{err: errSlow, text: closedText, allowReconnect: true, code: closeNormal, status: StatusError})
			return ErrClosed
		}
		if o.postpone(frames, policy == SlowKeepNewest) {
			return nil
		}
	}
}

// postpone appends frames to the backlog of a full outbox. It returns false if the outbox is no longer full.
func (o *outbox) postpone(frames []Frame, keyed bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.conn.proto
	n, _ := sizeFor(frames, p) // write has looked at it
	if o.sealed || !o.fullLocked(n) {
		return false
	}
	if o.later == nil {
		o.later = &backlog{}
	}
	for i := range frames {
		f := waitingFrame{b: append([]byte(nil), frames[i].encoded[p.index()]...), messages: frames[i].messages(p)}
		if keyed {
			f.key = frames[i].key
		}
		o.conn.server.counters.dropped.Add(o.later.add(f, o.limit()))
	}
	o.chargeLocked()
	return true
}

// postponeLocked appends a completion to the backlog: it must not overtake the frames that wait there.
func (o *outbox) postponeLocked(b []byte) {
	o.conn.server.counters.dropped.Add(o.later.add(waitingFrame{b: append([]byte(nil), b...), messages: 1, fixed: true}, o.limit()))
}

// refillLocked moves frames from the backlog to the outbox while there is room, or all of them before the last message.
func (o *outbox) refillLocked(all bool) {
	for o.later != nil {
		f := &o.later.frames[0]
		if !all && o.crammedLocked(len(f.b)) {
			return
		}
		o.beginLocked(len(f.b))
		o.appendLocked(f.b, true)
		o.endLocked(f.messages, len(f.b))
		o.later.drop(0)
		if len(o.later.frames) == 0 {
			o.later = nil
		}
	}
}
