package checker

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Carry is what one round leaves to the next. The zero value begins the first.
type Carry struct {
	Before    int               // numbers below it belong to earlier rounds and are at rest
	Counters  map[uint64]uint64 // highest seq by recipient
	Consumers []string          // of events, that watch from the beginning of the round
}

// Rules are what the node was told and the ledger must know.
type Rules struct {
	Attempts int // pushes of one life before it fails
}

// Book is the ledger of one round.
type Book struct {
	rules      Rules
	start      Carry
	stories    map[int]*story
	byID       map[string]*story
	lines      map[int]*line // open connections of phones
	calls      map[string][]keyCall
	looks      map[uint64][]look
	owners     map[string]*story // by key, of the calls that the store took; known when the book is closed
	contested  map[string]bool   // keys that calls had in a spill and lost
	watchers   []*watcher
	replayAlls []int64 // when they were called
	top        int     // highest number
	verdict    Verdict
	complaints []complaint
}

// complaint is a breach that waits for the rest of its message's story.
type complaint struct {
	text  string
	story *story
}

// NewBook opens a book.
func NewBook(rules Rules, start Carry) *Book {
	b := &Book{
		rules: rules, start: start, stories: map[int]*story{}, byID: map[string]*story{}, lines: map[int]*line{},
		calls: map[string][]keyCall{}, looks: map[uint64][]look{}, top: start.Before - 1,
	}
	for _, name := range start.Consumers {
		b.watchers = append(b.watchers, &watcher{Consumer: Consumer{Name: name}})
	}
	return b
}

// Judge reads the ledger of a whole first round. It is pure.
func Judge(rules Rules, consumers []string, entries []Entry) Verdict {
	b := NewBook(rules, Carry{Consumers: consumers})
	for i := range entries {
		b.Note(&entries[i])
	}
	v, _ := b.Judge(time.Minute)
	return v
}

// breaks notes a breach of a promise; s may be nil.
func (b *Book) breaks(s *story, format string, args ...any) {
	b.verdict.Breaches++
	if len(b.complaints) < MaxStories {
		b.complaints = append(b.complaints, complaint{fmt.Sprintf(format, args...), s})
	}
}

// Note takes an entry.
func (b *Book) Note(e *Entry) {
	switch e.Kind {
	case Killed, Paused, Cut, Wiped:
		b.verdict.suffers(e)
	case Tripped:
		b.verdict.Tripped++
	case Opened:
		b.lines[e.Conn] = &line{began: e.Began, quiet: e.Quiet, last: map[string]uint64{}, seen: map[uint64]bool{}}
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
		b.breaks(nil, "the ledger has an entry of the unknown kind %q", e.Kind)
	}
}

// called begins a story.
func (b *Book) called(e *Entry) {
	b.top = max(b.top, e.Number)
	if b.stories[e.Number] != nil {
		return // the twin of a call has the same body
	}
	b.stories[e.Number] = &story{
		number: e.Number, call: e.Call, key: e.Key, to: e.To, lane: e.Lane, sendAt: e.SendAt, ttl: e.TTL, quiet: e.Quiet, began: e.At,
	}
	if e.SendAt != 0 {
		b.verdict.Scheduled++
	}
	if e.TTL != 0 {
		b.verdict.Mortal++
	}
}

// find gives the story that an entry is part of, by its number or its id; nil if there cannot be one.
func (b *Book) find(e *Entry) *story {
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
		b.breaks(nil, "message %d to +%d, id %s, came to its end in an earlier round, and now it is %s again", e.Number, e.To, e.ID, e.Kind)
	case e.Number != 0:
		b.breaks(nil, "message %d to +%d, id %s, was never sent, and it is %s", e.Number, e.To, e.ID, e.Kind)
	default:
		b.breaks(nil, "id %s is %s and belongs to no message", e.ID, e.Kind)
	}
	return nil
}

// named gives the story of an id: the first under which a message appears is its own, each further one begins a copy.
func (b *Book) named(s *story, id string) *story {
	if known := b.byID[id]; known != nil {
		if known.number != s.number {
			b.breaks(s, "id %s belongs to message %d as well", id, known.number)
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

// answered takes what a call to send was answered.
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
			b.breaks(s, "a good call was answered %s", e.Status)
		}
	default:
		b.verdict.Unknown++
		first.unknown = true
	}
}

// anywhere stands for several nodes.
const anywhere = -1

// called notes at which node a try was made.
func (s *story) called(node int) {
	if s.node != 0 && s.node != node {
		node = anywhere
	}
	s.node = node
}

func (b *Book) accepted(s *story, e *Entry) {
	b.countAccepted(s, e)
	b.appears(s, e)
	switch {
	case e.ID == "":
		b.breaks(s, "accepted without an id")
	case e.Spilled && e.Seq != 0:
		b.breaks(s, "accepted as spilled, and with seq %d", e.Seq)
	case e.Seq == 0 && !e.Spilled && s.sendAt == 0:
		b.breaks(s, "accepted for now and without a seq")
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

func (b *Book) countAccepted(s *story, e *Entry) {
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

// livesIn notes which life a seq belongs to.
func (b *Book) livesIn(s *story, p *place, life int) {
	if other := s.ofLife(life); other != nil && other.seq != p.seq || p.life != 0 && p.life != life {
		b.breaks(s, "life %d is said to have seq %d, which disagrees with what was said before", life, p.seq)
		return
	}
	p.life = life
}

// appears notes where a message was seen.
func (b *Book) appears(s *story, e *Entry) {
	if e.To != s.to {
		b.breaks(s, "a message to +%d reached +%d", s.to, e.To)
	}
}

func (b *Book) replaying(e *Entry) {
	if e.ID == "" {
		b.replayAlls = append(b.replayAlls, e.At)
		return
	}
	b.of(e)
}

// of takes what is said of a message by its id.
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
			b.breaks(s, "canceled, and called not cancelable later")
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
		b.breaks(s, "the node knows the message and does not list it")
	case Final:
		b.ended(s, e)
	case History:
		b.history(s, e)
	default: // Note sends nothing else here
	}
}

// acknowledges notes what a phone said or was promised. Reading implies receiving.
func (s *story) acknowledges(e *Entry) {
	marks := &s.acking
	if e.Kind == Acked {
		marks = &s.acked
	}
	marks[0] = true
	marks[1] = marks[1] || e.Status == "read"
}

// replayed: the next life has the next life's number and a seq above all that the message had.
func (b *Book) replayed(s *story, e *Entry) {
	for i := range s.places {
		if p := &s.places[i]; p.life != 0 && p.life < e.Life && p.seq >= e.Seq {
			b.breaks(s, "replayed into seq %d, which is not above seq %d of life %d", e.Seq, p.seq, p.life)
		}
	}
	p := s.at(e.Seq)
	b.livesIn(s, p, e.Life)
	p.began, p.answered = e.Began, e.At
}

// ended takes what the node says of a message at rest.
func (b *Book) ended(s *story, e *Entry) {
	b.appears(s, e)
	s.final = e
	if e.Seq != 0 {
		b.livesIn(s, s.at(e.Seq), e.Life)
	}
}

// sorted gives the stories in the order of their numbers, each with its copies.
func (b *Book) sorted() []*story {
	list := make([]*story, 0, len(b.stories))
	for _, number := range slices.Sorted(maps.Keys(b.stories)) {
		list = append(append(list, b.stories[number]), b.stories[number].copies...)
	}
	return list
}

// Judge closes the book. Checks of histories may take as long as patience altogether; what is not decided by then is
// counted as undecided. It leaves what the next round has to know.
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
	for _, c := range b.complaints {
		text := c.text
		if c.story != nil {
			text += ": " + c.story.String()
		}
		b.verdict.Broken = append(b.verdict.Broken, text)
	}
	return b.verdict, Carry{Before: b.top + 1, Counters: counters, Consumers: b.start.Consumers}
}
