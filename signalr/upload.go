package signalr

import (
	"context"
	"io"
	"iter"
	"sync"
)

// Upload is a stream that a client sends with a call: a parameter of the handler like any other, wherever it stands
// among them. Items can be read as they arrive, by one goroutine at a time, and until the handler returns.
//
//	signalr.Handle1(hub, "Sum", func(_ *signalr.Call, numbers signalr.Upload[int]) (sum int, err error) {
//		for n, err := range numbers.All() {
//			if err != nil {
//				return 0, err
//			}
//			sum += n
//		}
//		return sum, nil
//	})
//
// Limits.StreamBuffer items wait for a slow handler, then its client's connection is no longer read.
type Upload[T any] struct{ from *upload }

// Recv waits for the next item. At the end of the stream it returns [io.EOF], or a [*HubError] with the client's text if
// that ended it by an error. An item that is no T ends the stream, too.
func (u Upload[T]) Recv(ctx context.Context) (item T, err error) {
	data, err := u.from.take(ctx)
	if err != nil {
		return item, err
	}
	if err = u.from.proto.decode(data, &item); err != nil {
		err = dataErrorf("Error binding an item of a stream: %v", err)
		u.from.end(err)
	}
	return item, err
}

// All ranges over what is left of the stream, until its end or the end of the call. An error comes last.
func (u Upload[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx := u.from.call.Context()
		for {
			item, err := u.Recv(ctx)
			if err == io.EOF || !yield(item, err) || err != nil { //nolint:errorlint // our own, never wrapped
				return
			}
		}
	}
}

func (u *Upload[T]) attach(from *upload) { u.from = from }

// uploadParameter is what all Uploads are.
type uploadParameter interface{ attach(from *upload) }

// upload is one open stream of a client. Its connection's lock guards what changes.
type upload struct {
	id    string
	of    *uploads
	call  *Call
	proto protocol
	ready chan struct{} // holds a token when there may be something to take

	items [][]byte
	err   error // set: nothing comes any more, and this is told after the last item
	gone  bool  // no more items will be read
}

// uploads are the open streams of one client. What waits in them is bounded in items for each and in bytes for all
// together; an item for which there is no room stays with the dispatcher, which then reads no further.
type uploads struct {
	mu      sync.Mutex
	byID    map[string]*upload
	bytes   int
	starved bool // the dispatcher has an item for which there was no room
	closed  bool
}

var errConnectionClosed = dataErrorf("The underlying connection was closed.")

// open makes the streams of a call, all or none.
func (x *uploads) open(c *Call, ids [][]byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return errConnectionClosed
	}
	for _, id := range ids {
		if _, taken := x.byID[string(id)]; taken {
			x.forgetLocked(c.uploads)
			c.uploads = nil
			return Errorf("Stream ID '%s' is already in use.", id)
		}
		if x.byID == nil {
			x.byID = make(map[string]*upload)
		}
		u := &upload{id: string(id), of: x, call: c, proto: c.conn.proto, ready: make(chan struct{}, 1)}
		x.byID[u.id] = u
		c.uploads = append(c.uploads, u)
	}
	return nil
}

// release forgets the streams of a call that is done, and drops what waits in them.
func (x *uploads) release(of []*upload) (poke bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forgetLocked(of)
	return x.fedLocked()
}

func (x *uploads) forgetLocked(of []*upload) {
	for _, u := range of {
		u.gone = true
		for _, item := range u.items {
			x.bytes -= len(item)
		}
		u.items = nil
		u.endLocked(errConnectionClosed)
		if x.byID[u.id] == u {
			delete(x.byID, u.id)
		}
	}
}

// offer puts an item into its stream. It returns false when there is no room; the item is then to be offered again when
// the dispatcher is poked. Items of unknown and ended streams are dropped.
func (x *uploads) offer(item *uploadItem, limits *Limits) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.byID[item.id]
	if u == nil || u.err != nil {
		return true
	}
	waiting := len(u.items)
	if waiting >= limits.StreamBuffer || waiting > 0 && x.bytes+len(item.data) > limits.Inbox {
		x.starved = true
		return false
	}
	u.items = append(u.items, item.data)
	x.bytes += len(item.data)
	u.wakeLocked()
	return true
}

// finish ends the stream that a client's completion names.
func (x *uploads) finish(m *message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.byID[string(m.id)]
	if u == nil {
		return
	}
	if m.hasError {
		u.endLocked(&HubError{Message: m.errorText})
	} else {
		u.endLocked(io.EOF)
	}
	delete(x.byID, u.id) // its id may be used again
}

// close ends all streams with their connection.
func (x *uploads) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, u := range x.byID {
		u.endLocked(errConnectionClosed)
	}
}

// fedLocked reports whether the dispatcher waits for the room that there is now.
func (x *uploads) fedLocked() bool {
	was := x.starved
	x.starved = false
	return was
}

// take waits for the next item.
func (u *upload) take(ctx context.Context) ([]byte, error) {
	for {
		item, poke, err := u.next()
		if poke {
			u.call.conn.in.pump()
		}
		if item != nil || err != nil {
			return item, err
		}
		select {
		case <-u.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (u *upload) next() (item []byte, poke bool, err error) {
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	if len(u.items) == 0 {
		return nil, false, u.err
	}
	item = u.items[0]
	u.items[0] = nil
	if u.items = u.items[1:]; len(u.items) == 0 {
		u.items = nil
	}
	u.of.bytes -= len(item)
	return item, u.of.fedLocked(), nil
}

// end ends the stream and drops what waits in it.
func (u *upload) end(err error) {
	u.of.mu.Lock()
	for _, item := range u.items {
		u.of.bytes -= len(item)
	}
	u.items = nil
	u.endLocked(err)
	poke := u.of.fedLocked()
	u.of.mu.Unlock()
	if poke {
		u.call.conn.in.pump()
	}
}

func (u *upload) endLocked(err error) {
	if u.err == nil {
		u.err = err
	}
	u.wakeLocked()
}

func (u *upload) wakeLocked() {
	select {
	case u.ready <- struct{}{}:
	default:
	}
}

// uploadItem is an item on its way into its stream.
type uploadItem struct {
	id   string
	data []byte
}
