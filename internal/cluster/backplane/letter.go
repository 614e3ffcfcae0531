package backplane

import (
	"encoding/binary"
	"fmt"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/store/codec"
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
	lost func(to membership.NodeID) // the post did not take it; may be nil
}

func (l *letter) size() int { return len(l.name) + len(l.body) + 32 } // 32: the rest, at most

// batchVersion begins each batch.
const batchVersion = 1

// appendBatchHead begins a batch: the version, and who sends it.
func appendBatchHead(dst []byte, from membership.NodeID) []byte {
	return codec.AppendText(append(dst, batchVersion), from)
}

// appendLetter adds kind, id, name and body.
func appendLetter(dst []byte, l *letter) []byte {
	dst = binary.AppendUvarint(append(dst, l.kind), l.id)
	return codec.AppendText(codec.AppendText(dst, l.name), l.body)
}

// readBatch gives the letters up to the first that cannot be read.
func readBatch(batch string) (from membership.NodeID, letters []letter, err error) {
	r := codec.NewReader([]byte(batch))
	r.Format(batchVersion)
	from = membership.NodeID(r.Text())
	for len(r.Rest()) > 0 {
		l := letter{kind: r.Byte(), id: r.Uvarint(), name: r.Text(), body: r.Bytes(r.Count())}
		if r.Err() == nil {
			letters = append(letters, l)
		}
	}
	if err := r.Err(); err != nil {
		return from, letters, fmt.Errorf("backplane: batch cannot be read: %w", err)
	}
	return from, letters, nil
}
