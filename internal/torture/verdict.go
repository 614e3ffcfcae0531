package torture

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a ledger proves.
type Verdict struct {
	Kills    int      `json:"kills"`
	Accepted int      `json:"accepted"` // messages
	Unknown  int      `json:"unknown"`  // calls without an answer
	Refused  int      `json:"refused"`  // messages
	Received int      `json:"received"` // first deliveries
	Repeats  int      `json:"repeats"`
	Lost     int      `json:"lost"`
	Broken   []string `json:"broken,omitempty"` // promises, with their story
}

// Clean tells whether every promise was kept.
func (v *Verdict) Clean() bool { return v.Lost == 0 && len(v.Broken) == 0 }

// maxStories bounds what is told of one verdict.
const maxStories = 20

func (v *Verdict) breaks(format string, args ...any) {
	if len(v.Broken) < maxStories {
		v.Broken = append(v.Broken, fmt.Sprintf(format, args...))
	}
}

// book is a ledger sorted by what is asked of it.
type book struct {
	Verdict
	entries  []Entry
	byID     map[string]*story
	byNumber map[int]*story
}

// story is all that is known of one message.
type story struct {
	number   int
	keyed    bool
	to       uint64
	ids      []string // under which it appeared; one, if all is well
	seq      uint64
	accepted bool
	refused  bool
	unknown  bool
	received bool
	acked    bool
	status   string
}

func (s *story) String() string {
	var words []string
	for word, so := range map[string]bool{
		"accepted": s.accepted, "refused": s.refused, "without an answer": s.unknown, "received": s.received, "acknowledged": s.acked,
	} {
		if so {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return fmt.Sprintf("message %d to +%d, seq %d, id %v: %s, now %q", s.number, s.to, s.seq, s.ids, strings.Join(words, ", "), s.status)
}

// Judge reads a ledger. It is pure.
func Judge(entries []Entry) Verdict {
	b := &book{entries: entries, byID: map[string]*story{}, byNumber: map[int]*story{}}
	for i := range entries {
		b.read(&entries[i])
	}
	for _, number := range sortedKeys(b.byNumber) {
		b.judge(b.byNumber[number])
	}
	b.order()
	b.sequences()
	return b.Verdict
}

// read adds one entry to the stories.
func (b *book) read(e *Entry) {
	if e.Kind == Killed {
		b.Kills++
		return
	}
	if e.Kind == Acked || e.Kind == Final {
		b.end(e)
		return
	}
	s := b.byNumber[e.Number]
	if s == nil {
		if e.Kind != Called {
			b.breaks("message %d to +%d appeared and was never sent", e.Number, e.To)
		}
		s = &story{number: e.Number, to: e.To}
		b.byNumber[e.Number] = s
	}
	switch e.Kind {
	case Called:
		s.keyed = e.Key != ""
	case Accepted:
		if !s.accepted {
			b.Accepted++
		}
		s.accepted = true
		b.appears(s, e)
	case Refused:
		b.Refused++
		s.refused = true
	case Unknown:
		b.Unknown++
		s.unknown = true
	case Received:
		if s.received {
			b.Repeats++
		} else {
			b.Received++
		}
		s.received = true
		b.appears(s, e)
	}
}

// appears notes under which id and seq a message was seen.
func (b *book) appears(s *story, e *Entry) {
	if !slices.Contains(s.ids, e.ID) {
		s.ids = append(s.ids, e.ID)
	}
	if s.seq != 0 && e.Seq != s.seq && len(s.ids) == 1 {
		b.breaks("message %d has seq %d and seq %d", s.number, s.seq, e.Seq)
	}
	if e.To != s.to {
		b.breaks("message %d to +%d reached +%d", s.number, s.to, e.To)
	}
	s.seq = e.Seq
	b.byID[e.ID] = s
}

// end notes acknowledgements and what the node says at last.
func (b *book) end(e *Entry) {
	s := b.byID[e.ID]
	if s == nil {
		b.breaks("id %s is %s and belongs to no message", e.ID, e.Kind)
		return
	}
	if e.Kind == Acked {
		s.acked = true
		return
	}
	s.status = e.Status
	if !growing(e.Versions) {
		b.breaks("message %d has the history %q", s.number, e.Versions)
	}
}

// ranks are those of the outward contract.
var ranks = map[string]int{
	"scheduled": 0, "queued": 1, "pending": 2, "sent": 3, "canceled": 4, "expired": 4, "failed": 4, "delivered": 5, "read": 6,
}

// growing tells whether a history counts 1, 2, 3 … with growing ranks.
func growing(history string) bool {
	words := strings.Fields(history)
	last := -1
	for i := 0; i+1 < len(words); i += 2 {
		rank, ok := ranks[words[i+1]]
		if !ok || words[i] != fmt.Sprint(i/2+1) || rank <= last {
			return false
		}
		last = rank
	}
	return len(words)%2 == 0
}

// order: on one connection, the first deliveries of one lane have rising seq.
func (b *book) order() {
	type lane struct {
		conn int
		name string
	}
	last, seen := map[lane]uint64{}, map[string]bool{}
	for i := range b.entries {
		e := &b.entries[i]
		if e.Kind != Received {
			continue
		}
		first := fmt.Sprint(e.Conn, e.ID)
		if seen[first] {
			continue
		}
		seen[first] = true
		at := lane{e.Conn, e.Lane}
		if e.Seq <= last[at] {
			b.breaks("on connection %d seq %d came after %d of lane %s", e.Conn, e.Seq, last[at], e.Lane)
		}
		last[at] = e.Seq
	}
}

// sequences: the numbers of each recipient are 1, 2, 3 … and each belongs to one message.
func (b *book) sequences() {
	owners := map[uint64]map[uint64]string{}
	for id, s := range b.byID {
		seqs := owners[s.to]
		if seqs == nil {
			seqs = map[uint64]string{}
			owners[s.to] = seqs
		}
		if other, ok := seqs[s.seq]; ok && other != id {
			b.breaks("seq %d of +%d belongs to %s and %s", s.seq, s.to, other, id)
		}
		seqs[s.seq] = id
	}
	for to, seqs := range owners {
		for seq := uint64(1); seq <= uint64(len(seqs)); seq++ {
			if _, ok := seqs[seq]; !ok {
				b.breaks("+%d has %d messages and none has seq %d", to, len(seqs), seq)
				break
			}
		}
	}
}

// judge holds one message against what was promised.
func (b *book) judge(s *story) {
	switch {
	case s.accepted && !s.received:
		b.Lost++
		b.breaks("LOST: %s", s)
	case len(s.ids) > 1:
		b.breaks("stored %d times: %s", len(s.ids), s)
	case s.refused && !s.accepted && s.received:
		b.breaks("refused and yet there: %s", s)
	case s.acked && ranks[s.status] < ranks["delivered"]:
		b.breaks("an acknowledgement was taken back: %s", s)
	case s.received && ranks[s.status] < ranks["delivered"]:
		b.breaks("everything was acknowledged at the end, and this is not: %s", s)
	}
}

func sortedKeys(m map[int]*story) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
