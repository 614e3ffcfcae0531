package backplane

import (
	"encoding/binary"
	"fmt"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Kinds of frames. A node ignores kinds that it does not know; newer versions may add some.
const (
	kindSend         = 1 // body: argument of signalr's Deliver
	kindRequest      = 2 // name: id of the connection; body: argument of signalr's Answer
	kindAnswer       = 3 // body: result of Answer
	kindFailed       = 4 // body: text of the error of Answer
	kindNoConnection = 5 // the node does not have the connection
	kindProgress     = 6 // the request is being processed
	kindCancel       = 7 // the requesting node no longer waits
)

// frame is one message of the backplane.
type frame struct {
	kind         byte
	id           uint64 // id of the request, unique at the requesting node
	name         string
	body         []byte
	onSendFailed func(to membership.NodeID) // called if the transport refused the frame; may be nil
}

func (l *frame) size() int { return len(l.name) + len(l.body) + 32 } // 32: upper bound of the other fields

// batchVersion is the first byte of each batch.
const batchVersion = 1

// appendBatchHead starts a batch with the version and the sender.
func appendBatchHead(dst []byte, from membership.NodeID) []byte {
	return codec.AppendText(append(dst, batchVersion), from)
}

// appendFrame appends kind, id, name and body.
func appendFrame(dst []byte, l *frame) []byte {
	dst = binary.AppendUvarint(append(dst, l.kind), l.id)
	return codec.AppendText(codec.AppendText(dst, l.name), l.body)
}

// readBatch returns the frames before the first malformed one.
func readBatch(batch string) (from membership.NodeID, letters []frame, err error) {
	r := codec.NewReader([]byte(batch))
	r.Format(batchVersion)
	from = membership.NodeID(r.Text())
	for len(r.Rest()) > 0 {
		l := frame{kind: r.Byte(), id: r.Uvarint(), name: r.Text(), body: r.Bytes(r.Count())}
		if r.Err() == nil {
			letters = append(letters, l)
		}
	}
	if err := r.Err(); err != nil {
		return from, letters, fmt.Errorf("backplane: batch cannot be read: %w", err)
	}
	return from, letters, nil
}
