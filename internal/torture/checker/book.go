package checker

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Carry is the state that one round passes to the next. The zero value starts the first round.
type Carry struct {
	Before    int               // smaller message numbers belong to earlier rounds and are at rest
	Counters  map[uint64]uint64 // highest seq by recipient
	Consumers []string          // event consumers that are connected from the beginning of the round
}

// Rules holds the configuration of the nodes that the checks depend on.
type Rules struct {
	Attempts int // pushes of one life before the message fails
}

// Book is the ledger of one round.
type Book struct {
	rules           Rules
	start           Carry
	stories         map[int]*messageTrace
	byID            map[string]*messageTrace
	lines           map[int]*phoneConn // open connections of phones
	calls           map[string][]keyCall
	looks           map[uint64][]syncAnswer
	owners          map[string]*messageTrace // by key: the trace whose call owns the key; set when the book is closed
	contested       map[string]bool          // keys for which a spilled call lost to another call
	watchers        []*eventConsumer
	replayAlls      []int64 // times of the calls to replay by filter
	top             int     // highest message number
	verdict         Verdict
	pendingBreaches []pendingBreach
}

// pendingBreach is a breach whose text is completed with the trace of its message when the book is closed.
type pendingBreach struct {
	text  string
	story *messageTrace
}

// NewBook opens a book.
func NewBook(rules Rules, start Carry) *Book {
	b := &Book{
		rules: rules, start: start, stories: map[int]*messageTrace{}, byID: map[string]*messageTrace{}, lines: map[int]*phoneConn{},
		calls: map[string][]keyCall{}, looks: map[uint64][]syncAnswer{}, top: start.Before - 1,
	}
	for _, name := range start.Consumers {
		b.watchers = append(b.watchers, &eventConsumer{Consumer: Consumer{Name: name}})
	}
	return b
}

// Judge returns the verdict on the ledger of a whole first round. It is a pure function.
func Judge(rules Rules, consumers []string, entries []Entry) Verdict {
	b := NewBook(rules, Carry{Consumers: consumers})
	for i := range entries {
		b.Note(&entries[i])
	}
	v, _ := b.Judge(time.Minute)
	return v
}

// reportBreach records a broken promise; s is nil if it does not belong to one message.
func (b *Book) reportBreach(s *messageTrace, format string, args ...any) {
	b.verdict.Breaches++
	if len(b.pendingBreaches) < MaxStories {
		b.pendingBreaches = append(b.pendingBreaches, pendingBreach{fmt.Sprintf(format, args...), s})
	}
}

// Note adds an entry.
func (b *Book) Note(e *Entry) {
	switch e.Kind {
	case Killed, Paused, Cut, Wiped:
		b.verdict.suffers(e)
	case Tripped:
		b.verdict.Tripped++
	case Opened:
		b.lines[e.Conn] = &phoneConn{began: e.Began, quiet: e.Quiet, last: map[string]uint64{}, seen: map[uint64]bool{}}
	case Closed:
		delete(b.lines, e.Conn)
	case Called:
		b.called(e)
	case Accepted, Mismatched, Refused, Unknown:
		b.answered(e)
	case Received:
		b.receivedBy(e)
	case Synced:
		b.synced(e)
	case Watching, Seen, Reset:
		b.watched(e)
	case Replaying:
		b.replaying(e)
	case ReplayedAll:
	case Acking, Acked, Canceling, Canceled, Uncancelable, Absent, Replayed, Final, History, Dead, Unlisted:
		b.of(e)
	default:
		b.reportBreach(nil, "the ledger has an entry of the unknown kind %q", e.Kind)
	}
}

// called starts the trace of a message.
func (b *Book) called(e *Entry) {
	b.top = max(b.top, e.Number)
	if b.stories[e.Number] != nil {
		return // a concurrent duplicate with the same body
	}
	b.stories[e.Number] = &messageTrace{
		number: e.Number, call: e.Call, key: e.Key, to: e.To, lane: e.Lane, sendAt: e.SendAt, ttl: e.TTL, quiet: e.Quiet, began: e.At,
	}
	if e.SendAt != 0 {
		b.verdict.Scheduled++
	}
	if e.TTL != 0 {
		b.verdict.Mortal++
	}
}

// find returns the trace of an entry, by its number or its id. It reports a breach and returns nil if there is none.
func (b *Book) find(e *Entry) *messageTrace {
	s := b.stories[e.Number]
	switch {
	case e.Number == 0:
		s = b.byID[e.ID]
	case s != nil && e.ID != "":
		s = b.named(s, e.ID)
	}
	switch {
	case s != nil:
		return s
	case e.Number != 0 && e.Number < b.start.Before:
		b.reportBreach(nil, "message %d to +%d, id %s, ended in an earlier round and is %s in this one", e.Number, e.To, e.ID, e.Kind)
	case e.Number != 0:
		b.reportBreach(nil, "message %d to +%d, id %s, was never sent and is %s", e.Number, e.To, e.ID, e.Kind)
	default:
		b.reportBreach(nil, "id %s is %s and belongs to no message", e.ID, e.Kind)
	}
	return nil
}

// named returns the trace with an id. The first id of a message belongs to its own trace; each further id starts a copy.
func (b *Book) named(s *messageTrace, id string) *messageTrace {
	if known := b.byID[id]; known != nil {
		if known.number != s.number {
			b.reportBreach(s, "id %s belongs to message %d as well", id, known.number)
			return s
		}
		return known
	}
	if s.id != "" {
		s = s.copied()
	}
	s.id = id
	b.byID[id] = s
	return s
}

// answered processes the answer to a send call.
func (b *Book) answered(e *Entry) {
	s := b.find(e)
	if s == nil {
		return
	}
	if e.Key != "" && e.Number == e.Call {
		b.calls[e.Key] = append(b.calls[e.Key], keyCall{kind: e.Kind, call: e.Call, id: e.ID, began: e.Began, at: e.At})
	}
	first := s.first()
	first.called(e.Node)
	switch e.Kind {
	case Accepted:
		b.accepted(s, e)
	case Mismatched:
		b.verdict.Mismatched++
		first.mismatched = true
	case Refused:
		b.verdict.Refused++
		first.refused = true
		if e.Status != "429" && e.Status != "503" {
			b.reportBreach(s, "a good call was answered %s", e.Status)
		}
	default:
		b.verdict.Unknown++
		first.unknown = true
	}
}

// anywhere is the node number of a call that was made at several nodes.
const anywhere = -1

// called records the node of a try.
func (s *messageTrace) called(node int) {
	if s.node != 0 && s.node != node {
		node = anywhere
	}
	s.node = node
}

func (b *Book) accepted(s *messageTrace, e *Entry) {
	b.countAccepted(s, e)
	b.appears(s, e)
	switch {
	case e.ID == "":
		b.reportBreach(s, "accepted without an id")
	case e.Spilled && e.Seq != 0:
		b.reportBreach(s, "accepted as spilled, but with seq %d", e.Seq)
	case e.Seq == 0 && !e.Spilled && s.sendAt == 0:
		b.reportBreach(s, "accepted as stored, but without a seq")
	}
	if e.Seq == 0 {
		return
	}
	p := s.at(e.Seq)
	b.livesIn(s, p, 1)
	if p.answered == 0 {
		p.answered = e.At
	}
}

func (b *Book) countAccepted(s *messageTrace, e *Entry) {
	switch {
	case s.answered != 0:
		b.verdict.Again++
	case s.original == nil:
		b.verdict.Accepted++
	}
	if s.answered == 0 {
		s.answered, s.spilled = e.At, e.Spilled
		if e.Spilled {
			b.verdict.Spilled++
		}
	}
	s.stored = s.stored || !e.Spilled
}

// livesIn records the life to which a seq belongs.
func (b *Book) livesIn(s *messageTrace, p *place, life int) {
	if other := s.ofLife(life); other != nil && other.seq != p.seq || p.life != 0 && p.life != life {
		b.reportBreach(s, "life %d has seq %d, which contradicts an earlier observation", life, p.seq)
		return
	}
	p.life = life
}

// appears checks the recipient of an observation.
func (b *Book) appears(s *messageTrace, e *Entry) {
	if e.To != s.to {
		b.reportBreach(s, "a message to +%d reached +%d", s.to, e.To)
	}
}

func (b *Book) replaying(e *Entry) {
	if e.ID == "" {
		b.replayAlls = append(b.replayAlls, e.At)
		return
	}
	b.of(e)
}

// of processes an entry about one message.
func (b *Book) of(e *Entry) {
	s := b.find(e)
	if s == nil {
		return
	}
	switch e.Kind {
	case Acking, Acked:
		s.acknowledges(e)
	case Canceling:
		b.verdict.Cancels++
		s.cancels++
	case Canceled:
		if s.canceledAt == 0 {
			s.canceledAt = e.At
		}
	case Uncancelable:
		if s.canceledAt != 0 && e.Began > s.canceledAt && !s.acking[0] && !s.acking[1] {
			b.reportBreach(s, "canceled, but a later cancel was answered 409")
		}
	case Absent:
		s.absent = true
	case Replaying:
		s.replays++
	case Replayed:
		b.replayed(s, e)
	case Dead:
		s.dead = true
	case Unlisted:
		b.reportBreach(s, "the node returns the message by its id but does not list it")
	case Final:
		b.ended(s, e)
	case History:
		b.history(s, e)
	default: // unreachable: Note passes only the kinds above
	}
}

// acknowledges records an acknowledgement or its completion. "read" implies "delivered".
func (s *messageTrace) acknowledges(e *Entry) {
	marks := &s.acking
	if e.Kind == Acked {
		marks = &s.acked
	}
	marks[0] = true
	marks[1] = marks[1] || e.Status == "read"
}

// replayed checks that the new life has a seq above all earlier seqs of the message.
func (b *Book) replayed(s *messageTrace, e *Entry) {
	for i := range s.places {
		if p := &s.places[i]; p.life != 0 && p.life < e.Life && p.seq >= e.Seq {
			b.reportBreach(s, "replayed into seq %d, which is not above seq %d of life %d", e.Seq, p.seq, p.life)
		}
	}
	p := s.at(e.Seq)
	b.livesIn(s, p, e.Life)
	p.began, p.answered = e.Began, e.At
}

// ended records the state of a message at rest.
func (b *Book) ended(s *messageTrace, e *Entry) {
	b.appears(s, e)
	s.final = e
	if e.Seq != 0 {
		b.livesIn(s, s.at(e.Seq), e.Life)
	}
}

// sorted returns the traces in the order of their numbers, each followed by its copies.
func (b *Book) sorted() []*messageTrace {
	list := make([]*messageTrace, 0, len(b.stories))
	for _, number := range slices.Sorted(maps.Keys(b.stories)) {
		list = append(append(list, b.stories[number]), b.stories[number].copies...)
	}
	return list
}

// Judge closes the book and returns the verdict and the state for the next round. The linearizability checks take at
// most patience in total; histories not decided by then are counted as undecided.
func (b *Book) Judge(patience time.Duration) (Verdict, Carry) {
	b.verdict.Rounds = 1
	list := b.sorted()
	b.owned(list)
	for _, s := range list {
		b.judge(s)
	}
	b.overtaken(list)
	counters := b.sequences(list)
	deadline := time.Now().Add(patience)
	b.checkKeys(deadline)
	b.checkInboxes(list, counters, deadline)
	for _, w := range b.watchers {
		b.verdict.Consumers = append(b.verdict.Consumers, w.Consumer)
	}
	for _, c := range b.pendingBreaches {
		text := c.text
		if c.story != nil {
			text += ": " + c.story.String()
		}
		b.verdict.Broken = append(b.verdict.Broken, text)
	}
	return b.verdict, Carry{Before: b.top + 1, Counters: counters, Consumers: b.start.Consumers}
}
