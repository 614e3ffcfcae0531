package checker

// watcher is a consumer of events.
type watcher struct {
	Consumer
	conn     int    // the connection that it has
	position string // the newest on that connection

	passed map[string]struct{} // positions on that connection; they are opaque, and tell a repeat only
}

func (b *Book) watcher(name string) (int, *watcher) {
	for i, w := range b.watchers {
		if w.Name == name {
			return i, w
		}
	}
	return 0, nil
}

// watched takes what a consumer saw.
func (b *Book) watched(e *Entry) {
	i, w := b.watcher(e.Consumer)
	if w == nil {
		return // one that began after the round did: what it did not see proves nothing
	}
	switch e.Kind {
	case Watching:
		w.Connections++
	case Reset:
		b.breaks(nil, "consumer %s was told that events are gone", e.Consumer)
	default:
		b.advances(w, e)
		b.sees(i, w, e)
	}
}

// advances: on one connection no position comes twice. Only a reconnect goes back.
func (b *Book) advances(w *watcher, e *Entry) {
	if w.conn != e.Conn {
		w.conn, w.position, w.passed = e.Conn, "", map[string]struct{}{}
	}
	if e.Position == "" {
		return // this kind of consumer is told its position elsewhere
	}
	if _, before := w.passed[e.Position]; before {
		b.breaks(nil, "consumer %s was at position %s and then, on the same connection, at %s again", w.Name, w.position, e.Position)
	}
	if w.passed == nil {
		w.passed = map[string]struct{}{}
	}
	w.passed[e.Position] = struct{}{}
	w.position = e.Position
}

// sees: first sightings of one message are in the order of versions.
func (b *Book) sees(i int, w *watcher, e *Entry) {
	if e.Number != 0 && e.Number < b.start.Before {
		w.Repeats++ // of what it saw in an earlier round
		return
	}
	s := b.find(e)
	if s == nil || s.quiet {
		return
	}
	if s.number != e.Number {
		b.breaks(s, "consumer %s saw an event of it under the number %d", w.Name, e.Number)
	}
	b.mark(s, Mark{Version: e.Version, Life: e.Life, Status: e.Status, Attempt: e.Attempt, At: e.At})
	switch next := int(s.seen[i]) + 1; {
	case e.Version > next:
		b.breaks(s, "consumer %s saw version %d before version %d", w.Name, e.Version, next)
		s.seen[i] = uint16(e.Version)
	case e.Version == next:
		w.Events++
		s.seen[i]++
	default:
		w.Repeats++
	}
}

// sighted: every consumer saw the whole history, and nothing else.
func (b *Book) sighted(s *story) {
	if s.quiet {
		return
	}
	for i, w := range b.watchers {
		if n := int(s.seen[i]); n < s.told {
			b.breaks(s, "consumer %s saw %d of %d events", w.Name, n, s.told)
		} else if n > s.told {
			b.breaks(s, "consumer %s saw %d events, and the history has %d", w.Name, n, s.told)
		}
	}
}

// Behind counts what consumers have not seen yet of the histories that are known.
func (b *Book) Behind() (n int) {
	for _, s := range b.stories {
		n += b.unseen(s)
		for _, c := range s.copies {
			n += b.unseen(c)
		}
	}
	return n
}

func (b *Book) unseen(s *story) (n int) {
	for i := range b.watchers {
		if !s.quiet {
			n += max(s.told-int(s.seen[i]), 0)
		}
	}
	return n
}
