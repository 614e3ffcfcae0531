package signalr

// SlowPolicy says what [Conn.TryWrite] and [Conn.TrySend], and their twins of [Target], do when a client takes less than
// it is sent and its outbox is full. Write and Send always wait. Whatever the policy, one client costs bounded memory and holds nobody
// else up, and completions are never dropped.
type SlowPolicy int

const (
	// SlowRefuse answers [ErrFull]; the application decides. It is the default.
	SlowRefuse SlowPolicy = iota
	// SlowDisconnect closes the connection, with leave to reconnect, and answers [ErrClosed].
	SlowDisconnect
	// SlowDropOldest keeps as much again as Limits.Outbox behind the full outbox and drops its oldest frames.
	SlowDropOldest
	// SlowKeepNewest is SlowDropOldest where a frame first of all replaces the waiting one of the same key, see
	// [Frame.Keyed]: for prices, positions and other states of which only the latest counts.
	SlowKeepNewest
)

// Keyed returns the frame with a key for [SlowKeepNewest]. A frame without key replaces none.
func (f Frame) Keyed(key string) Frame {
	f.key = key
	return f
}

// backlog is what waits behind a full outbox, oldest first. The outbox's lock guards it. Its bytes are copies: the
// application's buffers are its own again when the send returns.
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

// add appends a frame and drops others until there are no more than limit bytes. It returns how many messages it dropped.
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

// writeOr is write with the server's policy for full outboxes.
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

// postpone puts frames behind a full outbox. It reports false when that is not full any more.
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

// postponeLocked puts an answer behind the frames that wait: it must not overtake them.
func (o *outbox) postponeLocked(b []byte) {
	o.conn.server.counters.dropped.Add(o.later.add(waitingFrame{b: append([]byte(nil), b...), messages: 1, fixed: true}, o.limit()))
}

// refillLocked moves what waits behind the outbox into it while there is room, all of it for the last words.
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
