package storetest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

var eventTests = map[string]func(*fixture){
	"empty log: the tail is a position": func(f *fixture) {
		tail := f.tail()
		if tail == "" {
			f.Fatal("the tail of an empty log is empty: a reader that stores it would start at a later tail")
		}
		want(f, len(f.readLog("", 10)), 0, "entries")
		want(f, len(f.readLog(tail, 10)), 0, "entries after the tail")
		m := f.appendOne(alice)
		want(f, len(f.readLog(tail, 10)), len(f.history(m.ID)), "entries after that tail later")
	},
	"every position: the log continues with the next event": func(f *fixture) {
		fillLog(f)
		all := f.readLog("", 1000)
		wantComplete(f, all)
		want(f, f.tail(), all[len(all)-1].Position, "tail")
		want(f, len(f.readLog(f.tail(), 10)), 0, "entries after the tail")
		for i, entry := range all {
			rest := f.readLog(entry.Position, 1000)
			if !slices.EqualFunc(rest, all[i+1:], sameEntry) {
				f.Fatalf("reading from entry %d: got other entries than in one read", i)
			}
		}
	},
	"pages: contain the same as one read": func(f *fixture) {
		fillLog(f)
		var paged []esh3ar.LogEntry
		for position := esh3ar.Position(""); ; {
			page := f.readLog(position, 3)
			if len(page) == 0 {
				break
			}
			if len(page) > 3 {
				f.Fatalf("got %d entries, want at most 3", len(page))
			}
			paged = append(paged, page...)
			position = page[len(page)-1].Position
		}
		if !slices.EqualFunc(paged, f.readLog("", 1000), sameEntry) {
			f.Error("pages contain other entries than one read")
		}
	},
	"positions: increase": func(f *fixture) {
		fillLog(f)
		all := f.readLog("", 1000)
		for i := 1; i < len(all); i++ {
			if all[i].Position <= all[i-1].Position {
				f.Fatalf("position %q follows %q", all[i].Position, all[i-1].Position)
			}
		}
	},
	"log entry: equals the history": func(f *fixture) {
		m := f.message(alice)
		m.CorrelationID, m.Metadata = "c", map[string]string{"k": "v"}
		f.send(m)
		c := f.change(m, esh3ar.Failed)
		c.Reason = "attempts_spent"
		c.Attempt = 3
		f.settle(c)
		history := f.history(m.ID)
		for i, entry := range f.readLog("", 10) {
			if !sameEvent(entry.Event, history[i]) {
				f.Errorf("got log entry %+v, want %+v", entry.Event, history[i])
			}
		}
	},
	"filter by business: other entries are skipped": func(f *fixture) {
		mine := f.appendOne(alice)
		other := *f
		other.business = esh3ar.NewBusinessID()
		theirs := other.appendOne(alice)
		f.settle(f.change(theirs, esh3ar.Sent), f.change(mine, esh3ar.Sent))
		page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{Businesses: []esh3ar.BusinessID{f.business}, Limit: 10})
		f.ok(err, "events")
		want(f, len(page.Entries), 2, "entries")
		for _, entry := range page.Entries {
			want(f, entry.Event.Message, mine.ID, "message")
		}
		page, err = f.Store.Events(f.ctx, esh3ar.EventQuery{Businesses: []esh3ar.BusinessID{esh3ar.NewBusinessID()}, Limit: 10})
		f.ok(err, "events of an unknown business")
		want(f, len(page.Entries), 0, "entries of an unknown business")
		want(f, page.Next, f.tail(), "next position after skipped entries")
		both, err := f.Store.Events(f.ctx, esh3ar.EventQuery{Businesses: []esh3ar.BusinessID{other.business, f.business}, Limit: 10})
		f.ok(err, "events of both")
		want(f, len(both.Entries), 4, "entries of both")
	},
	"invalid position": func(f *fixture) {
		f.appendOne(alice)
		_, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: "not a position", Limit: 10})
		f.wantCode(err, esh3ar.Invalid, "events")
	},
	// Positions are compared as text, so each must have exactly one spelling.
	"other spelling of a position: is invalid": func(f *fixture) {
		for range 12 { // until a position contains a hexadecimal letter
			f.appendOne(alice)
		}
		for _, entry := range f.readLog("", 100) {
			at := string(entry.Position)
			last := len(at) - 1
			others := []string{" " + at[1:], "\r" + at[1:], "+" + at[1:], at[:last] + "\r", at[:last-1] + "\r" + at[last:], at + " ", "0" + at, at[1:], "0x" + at[2:]}
			if upper := strings.ToUpper(at); upper != at {
				others = append(others, upper)
			}
			for i := range at[:last-1] {
				others = append(others, at[:i]+"0x"+at[i+2:])
			}
			for _, other := range others {
				if _, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: esh3ar.Position(other), Limit: 1}); esh3ar.CodeOf(err) != esh3ar.Invalid {
					f.Fatalf("position %q: got %v, want Invalid", other, err)
				}
			}
		}
	},
	"change that does not apply: no event": func(f *fixture) {
		m := f.appendOne(alice)
		f.settle(f.change(m, esh3ar.Delivered))
		tail := f.tail()
		f.settle(f.change(m, esh3ar.Sent))
		want(f, f.tail(), tail, "tail")
	},
	"concurrent writers: a reader misses nothing": concurrentLog,
}

// readLog reads entries until the limit or the end of the log. A page may be shorter than its limit.
func (f *fixture) readLog(after esh3ar.Position, limit int) (entries []esh3ar.LogEntry) {
	f.Helper()
	for len(entries) < limit {
		page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: after, Limit: limit - len(entries)})
		f.ok(err, "events")
		if page.Next == after {
			break
		}
		if len(page.Entries) > 0 {
			want(f, page.Next, page.Entries[len(page.Entries)-1].Position, "next position of the page")
		}
		entries, after = append(entries, page.Entries...), page.Next
	}
	return entries
}

func (f *fixture) tail() esh3ar.Position {
	f.Helper()
	tail, err := f.Store.Tail(f.ctx)
	f.ok(err, "tail")
	return tail
}

func sameEntry(a, b esh3ar.LogEntry) bool {
	return a.Position == b.Position && sameEvent(a.Event, b.Event)
}

func sameEvent(a, b esh3ar.Event) bool {
	return a.ID == b.ID && a.Message == b.Message && a.Business == b.Business && a.Version == b.Version && a.Life == b.Life &&
		a.Status == b.Status && a.At == b.At && a.Recipient == b.Recipient && a.Attempt == b.Attempt &&
		a.CorrelationID == b.CorrelationID && a.Reason == b.Reason && len(a.Metadata) == len(b.Metadata)
}

// fillLog appends ten messages with two to four events each.
func fillLog(f *fixture) {
	for i := range 10 {
		m := f.appendOne(alice + esh3ar.Recipient(i%2))
		steps := []esh3ar.Change{f.change(m, esh3ar.Sent), f.change(m, esh3ar.Delivered), f.change(m, esh3ar.Read)}
		f.settle(steps[:1+i%3]...)
	}
}

// wantComplete compares a log with the histories of its messages: each must have versions 1, 2, 3, …, without gaps.
func wantComplete(f *fixture, all []esh3ar.LogEntry) {
	f.Helper()
	versions := map[esh3ar.MessageID]uint32{}
	for _, entry := range all {
		e := entry.Event
		versions[e.Message]++
		if versions[e.Message] != e.Version {
			f.Fatalf("message %s: got version %d, want %d", e.Message, e.Version, versions[e.Message])
		}
	}
	for id, n := range versions {
		want(f, int(n), len(f.history(id)), "events of "+id.String())
	}
}

// concurrentLog reads the log while several writers append and settle.
func concurrentLog(f *fixture) {
	const writers, rounds = 4, 25
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range rounds {
				m := f.message(alice)
				if _, err := f.Store.Append(f.ctx, []*esh3ar.Call{f.call(m)}); err != nil {
					f.Errorf("append: %v", err)
				}
				if _, err := f.Store.Settle(f.ctx, []esh3ar.Change{f.change(m, esh3ar.Sent), f.change(m, esh3ar.Delivered)}); err != nil {
					f.Errorf("settle: %v", err)
				}
			}
		})
	}
	stopped := make(chan struct{})
	var read []esh3ar.LogEntry
	var reader sync.WaitGroup
	reader.Go(func() {
		position := esh3ar.Position("")
		for last := false; ; {
			page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: position, Limit: 7})
			if err != nil {
				f.Errorf("events: %v", err)
				return
			}
			if page.Next != position {
				read, position = append(read, page.Entries...), page.Next
				continue
			}
			if last {
				return
			}
			select {
			case <-stopped:
				last = true
			case <-time.After(time.Millisecond): // on a single CPU, the reader would run all the time
			}
		}
	})
	group.Wait()
	close(stopped)
	reader.Wait()
	want(f, len(read), writers*rounds*3, "events read")
	wantComplete(f, read)
}
