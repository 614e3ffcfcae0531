package signalr

import (
	"context"
	"errors"
	"iter"
)

// sequence is what a streaming method returns, whatever its items are.
type sequence interface {
	each(yield func(item any, err error) bool)
	isNil() bool
}

type sequenceOf[T any] iter.Seq2[T, error]

func (s sequenceOf[T]) isNil() bool { return s == nil }

func (s sequenceOf[T]) each(yield func(any, error) bool) {
	for item, err := range s {
		if !yield(item, err) {
			return
		}
	}
}

// FromChannel makes a stream of a channel: it ends when the channel is closed, or with ctx, which is the call's as a
// rule. The sender should watch the same context.
func FromChannel[T any](ctx context.Context, items <-chan T) iter.Seq2[T, error] {
	if items == nil {
		return nil
	}
	return func(yield func(T, error) bool) {
		for {
			select {
			case item, open := <-items:
				if !open || !yield(item, nil) {
					return
				}
			case <-ctx.Done():
				var none T
				yield(none, context.Cause(ctx))
				return
			}
		}
	}
}

// streamError is an error that came after the streaming had begun.
type streamError struct{ error }

func (e *streamError) Unwrap() error { return e.error }

// runStream calls the method in its turn, like any other: what the handler does before it returns, such as a subscription, is
// done before the client's next invocation begins. Then it leaves its slot and sends what the sequence yields. The handler
// has its context from the beginning, since a stream without end is ended by it.
func (c *Call) runStream() {
	ctx := c.Context()
	v, err := c.handle()
	if err == nil {
		c.leaveSlot()
		err = c.sendItems(ctx, v)
	}
	if errors.Is(context.Cause(ctx), errCanceledByClient) {
		err = nil // it is what the client wanted
	}
	c.finish(nil, err)
}

func (c *Call) sendItems(ctx context.Context, v any) error {
	items, ok := v.(sequence)
	if !ok || items.isNil() {
		return refusef("The value returned by the streaming method '%s' is not a ChannelReader<> or IAsyncEnumerable<>.", c.target)
	}
	buf := newBuffer()
	defer buf.free()
	err := errPanicked
	c.conn.protect(c.target, func() {
		var failed error
		items.each(func(item any, itemErr error) bool {
			if failed = itemErr; failed == nil {
				failed = c.sendItem(ctx, buf, item)
			}
			return failed == nil
		})
		err = failed
	})
	if err != nil {
		return &streamError{err}
	}
	return nil
}

// sendItem waits while the client is slow, and so does the sequence.
func (c *Call) sendItem(ctx context.Context, buf *buffer, item any) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := c.conn.proto
	b, err := p.appendStreamItem(buf.b[:0], c.id, item)
	if err != nil {
		return err
	}
	buf.b = b
	var f Frame
	f.encoded[p.index()] = b
	return c.conn.Write(ctx, f)
}
