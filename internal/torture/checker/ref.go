package checker

import "slices"

// Ref names a message of the book.
type Ref struct {
	ID     string
	Number int
}

// Listed are the messages of which the node said something at rest.
func (b *Book) Listed() (refs []Ref) {
	for _, s := range b.sorted() {
		if s.final != nil {
			refs = append(refs, Ref{s.final.ID, s.number})
		}
	}
	return refs
}

// Unlisted are the messages that were seen and of which the node said nothing.
func (b *Book) Unlisted() (refs []Ref) {
	for _, s := range b.sorted() {
		if s.final == nil && s.id != "" {
			refs = append(refs, Ref{s.id, s.number})
		}
	}
	return refs
}

// Verdict is how far the counts have come. The breaches among them are those that could be told at once.
func (b *Book) Verdict() Verdict { return b.verdict }

// Keepsake is what the node said of a message at rest.
type Keepsake struct {
	ID     string
	Status string
	Seq    uint64
	Marks  []Mark
}

// Sample takes about n messages of all that came to rest, spread over the whole round.
func (b *Book) Sample(n int) (list []Keepsake) {
	refs := b.Listed()
	for i := 0; i < len(refs); i += max(len(refs)/n, 1) {
		s := b.byID[refs[i].ID]
		list = append(list, Keepsake{s.final.ID, s.final.Status, s.final.Seq, slices.Clone(s.marks[:s.told])})
	}
	return list
}
