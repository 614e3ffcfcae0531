package backplane

import (
	"encoding/binary"
	"errors"

	"github.com/esh3artech/esh3ar/internal/route"
)

// Kinds of letters. Newer versions add some; a node skips those that it does not know.
const (
	kindSend    = 1 // body: for signalr's Deliver
	kindAsk     = 2 // name: the connection; body: for signalr's Answer
	kindAnswer  = 3 // body: what Answer has returned
	kindFailed  = 4 // body: the text of its error
	kindAbsent  = 5 // the connection is not there
	kindWorking = 6 // the answer will come
	kindForget  = 7 // nobody waits for the answer any more
)

// letter is one message of the backplane.
type letter struct {
	kind byte
	id   uint64 // of the request at the node that asks
	name string
	body []byte
	lost func(to route.NodeID) // the post did not take it; may be nil
}

func (l *letter) size() int { return len(l.name) + len(l.body) + 32 } // 32: the rest, at most

// batchVersion begins each batch.
const batchVersion = 1

// appendBatchHead begins a batch: the version, and who sends it.
func appendBatchHead(dst []byte, from route.NodeID) []byte {
	return appendText(append(dst, batchVersion), string(from))
}

// appendLetter adds kind, id, name and body.
func appendLetter(dst []byte, l *letter) []byte {
	dst = binary.AppendUvarint(append(dst, l.kind), l.id)
	return appendText(appendText(dst, l.name), string(l.body))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errBatch = errors.New("backplane: batch cannot be read")

// readBatch gives the letters up to the first that cannot be read.
func readBatch(batch string) (from route.NodeID, letters []letter, err error) {
	r := reader{b: []byte(batch)}
	if r.octet() != batchVersion {
		return "", nil, errBatch
	}
	from = route.NodeID(r.text())
	for r.err == nil && len(r.b) > 0 {
		l := letter{kind: r.octet(), id: r.number(), name: string(r.text()), body: r.text()}
		if r.err == nil {
			letters = append(letters, l)
		}
	}
	return from, letters, r.err
}

// reader takes from the front of b and remembers the first error.
type reader struct {
	b   []byte
	err error
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.err = errBatch
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.err = nil, errBatch
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errBatch
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}
