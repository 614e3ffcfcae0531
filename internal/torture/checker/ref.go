package checker

import "slices"

// Ref identifies a message of the book.
type Ref struct {
	ID     string
	Number int
}

// Listed returns the messages whose state at rest is known.
func (b *Book) Listed() (refs []Ref) {
	for _, s := range b.sorted() {
		if s.final != nil {
			refs = append(refs, Ref{s.final.ID, s.number})
		}
	}
	return refs
}

// Unlisted returns the messages that were observed but whose state at rest is unknown.
func (b *Book) Unlisted() (refs []Ref) {
	for _, s := range b.sorted() {
		if s.final == nil && s.id != "" {
			refs = append(refs, Ref{s.id, s.number})
		}
	}
	return refs
}

// Verdict returns the counts so far. Its breaches are those that could be detected immediately.
func (b *Book) Verdict() Verdict { return b.verdict }

// SpotCheck is the state of a message at rest.
type SpotCheck struct {
	ID     string
	Status string
	Seq    uint64
	Marks  []Mark
}

// Sample returns about n messages at rest, spread over the round.
func (b *Book) Sample(n int) (list []SpotCheck) {
	refs := b.Listed()
	for i := 0; i < len(refs); i += max(len(refs)/n, 1) {
		s := b.byID[refs[i].ID]
		list = append(list, SpotCheck{s.final.ID, s.final.Status, s.final.Seq, slices.Clone(s.marks[:s.told])})
	}
	return list
}
