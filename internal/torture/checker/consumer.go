package checker

// eventConsumer is the state of one consumer of events.
type eventConsumer struct {
	Consumer
	conn     int    // number of its current connection
	position string // newest position on that connection

	passed map[string]struct{} // positions on that connection; they are opaque and only detect repeats
}

func (b *Book) watcher(name string) (int, *eventConsumer) {
	for i, w := range b.watchers {
		if w.Name == name {
			return i, w
		}
	}
	return 0, nil
}

// watched processes an observation of a consumer.
func (b *Book) watched(e *Entry) {
	i, w := b.watcher(e.Consumer)
	if w == nil {
		return // connected after the round began: missing events prove nothing
	}
	switch e.Kind {
	case Watching:
		w.Connections++
	case Reset:
		b.reportBreach(nil, "consumer %s received a reset: events are lost", e.Consumer)
	default:
		b.advances(w, e)
		b.sees(i, w, e)
	}
}

// advances checks that a position occurs once per connection. Only a reconnect may go back.
func (b *Book) advances(w *eventConsumer, e *Entry) {
	if w.conn != e.Conn {
		w.conn, w.position, w.passed = e.Conn, "", map[string]struct{}{}
	}
	if e.Position == "" {
		return // the hub sends positions as separate checkpoints
	}
	if _, before := w.passed[e.Position]; before {
		b.reportBreach(nil, "consumer %s was at position %s and then returned to %s on the same connection", w.Name, w.position, e.Position)
	}
	if w.passed == nil {
		w.passed = map[string]struct{}{}
	}
	w.passed[e.Position] = struct{}{}
	w.position = e.Position
}

// sees checks that the first sightings of one message are in the order of versions.
func (b *Book) sees(i int, w *eventConsumer, e *Entry) {
	if e.Number != 0 && e.Number < b.start.Before {
		w.Repeats++ // it saw the event in an earlier round
		return
	}
	s := b.find(e)
	if s == nil || s.quiet {
		return
	}
	if s.number != e.Number {
		b.reportBreach(s, "consumer %s saw an event of it under the number %d", w.Name, e.Number)
	}
	b.mark(s, Mark{Version: e.Version, Life: e.Life, Status: e.Status, Attempt: e.Attempt, At: e.At})
	switch next := int(s.seen[i]) + 1; {
	case e.Version > next:
		b.reportBreach(s, "consumer %s saw version %d before version %d", w.Name, e.Version, next)
		s.seen[i] = uint16(e.Version)
	case e.Version == next:
		w.Events++
		s.seen[i]++
	default:
		w.Repeats++
	}
}

// sighted checks that every consumer saw exactly the history.
func (b *Book) sighted(s *messageTrace) {
	if s.quiet {
		return
	}
	for i, w := range b.watchers {
		if n := int(s.seen[i]); n < s.told {
			b.reportBreach(s, "consumer %s saw %d of %d events", w.Name, n, s.told)
		} else if n > s.told {
			b.reportBreach(s, "consumer %s saw %d events, but the history has %d", w.Name, n, s.told)
		}
	}
}

// Behind returns the number of known events that consumers have not seen yet.
func (b *Book) Behind() (n int) {
	for _, s := range b.stories {
		n += b.unseen(s)
		for _, c := range s.copies {
			n += b.unseen(c)
		}
	}
	return n
}

func (b *Book) unseen(s *messageTrace) (n int) {
	for i := range b.watchers {
		if !s.quiet {
			n += max(s.told-int(s.seen[i]), 0)
		}
	}
	return n
}
