package redis_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// inbox collects the hints that a node of a test receives.
type inbox struct {
	mu    sync.Mutex
	hints []presence.Hint
}

func (b *inbox) handle(hints []presence.Hint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hints = append(b.hints, hints...)
}

// count returns the number of received hints with at least that sequence number.
func (b *inbox) count(from esh3ar.Seq) int {
	var n int
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.hints {
		if h.Seq >= from {
			n++
		}
	}
	return n
}

// receive makes a node receive hints until the test ends.
func receive(ctx context.Context, t *testing.T, h *redis.Hints, handle func([]presence.Hint)) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var receiver sync.WaitGroup
	receiver.Go(func() {
		if err := h.Receive(ctx, handle); !errors.Is(err, context.Canceled) {
			t.Errorf("receive ended: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); receiver.Wait() })
}

// awaitListening sends hints without a sequence number until one arrives.
func awaitListening(ctx context.Context, t *testing.T, from *redis.Hints, to membership.NodeID, box *inbox) {
	t.Helper()
	before := box.count(0)
	await(ctx, t, "hints arrive", func() bool {
		_ = from.Send(ctx, to, []presence.Hint{{Kind: presence.Acknowledged, Recipient: 1}}) // Redis may still be unavailable
		return box.count(0) > before
	})
}

// manyHints returns hints that need several batches, by number and by size.
func manyHints() (hints []presence.Hint) {
	content := strings.Repeat("ض", esh3ar.MaxContentLength)
	for i := range 3000 {
		h := presence.Hint{Kind: presence.Stored, Recipient: 967771234567, Seq: esh3ar.Seq(i + 1), ID: messageID, Life: 1}
		if i%10 == 0 {
			h.Message = &esh3ar.Message{ID: messageID, Recipient: h.Recipient, Seq: h.Seq, Content: content}
		}
		hints = append(hints, h)
	}
	return hints
}

var messageID = esh3ar.MessageIDAt(1_700_000_000_000, [10]byte{1})

func TestHints_SendAndReceive_Match(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, client := open(ctx, t, top.url, "a").Hints(), open(ctx, t, top.url, "b")
		var box, own inbox
		receive(ctx, t, client.Hints(), box.handle)
		receive(ctx, t, a, own.handle)
		awaitListening(ctx, t, a, "b", &box)
		awaitListening(ctx, t, a, "a", &own)
		if err := errors.Join(a.Send(ctx, "b", nil), a.Send(ctx, "nobody", manyHints()[:1])); err != nil {
			t.Error(err)
		}
		if err := a.Send(ctx, "", nil); err == nil {
			t.Error("hints were sent to no node")
		}
		want := manyHints()
		if err := a.Send(ctx, "b", want); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "all arrived", func() bool { return box.count(1) == len(want) })
		box.mu.Lock()
		defer box.mu.Unlock()
		if got := box.hints[len(box.hints)-len(want):]; !reflect.DeepEqual(got, want) { // one connection each, so the order is preserved
			t.Error("what arrived is not what was sent")
		}
		if own.count(1) > 0 {
			t.Error("hints for another node arrived")
		}
		if s := client.Stats(); s.HintsReceived < uint64(len(want)) || s.HintBatchesDropped != 0 || s.Subscribed != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestHints_SlowReceiver_DropsItsBatchesOnly: batches that arrive while its queue is full are dropped, and its connection keeps
// working.
func TestHints_SlowReceiver_DropsItsBatchesOnly(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, slow := open(ctx, t, top.url, "a").Hints(), open(ctx, t, top.url, "slow")
		var box inbox
		gate := make(chan struct{})
		receive(ctx, t, slow.Hints(), func(hints []presence.Hint) {
			if hints[0].Seq > 0 {
				<-gate
			}
			box.handle(hints)
		})
		awaitListening(ctx, t, a, "slow", &box)
		const batches = 1000
		for i := range batches {
			if err := a.Send(ctx, "slow", []presence.Hint{{Kind: presence.Stored, Recipient: 1, Seq: esh3ar.Seq(i + 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		await(ctx, t, "batches are dropped", func() bool { return slow.Stats().HintBatchesDropped > 0 })
		if _, err := slow.Presence().Nodes(ctx, someRecipients(20)); err != nil {
			t.Errorf("its connections are held up: %v", err)
		}
		close(gate)
		await(ctx, t, "the rest arrives", func() bool { return box.count(1)+int(slow.Stats().HintBatchesDropped) == batches })
		awaitListening(ctx, t, a, "slow", &box)
	})
}

func TestHints_MalformedBatch_IsDropped(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		client := open(ctx, t, top.url, "a")
		var box inbox
		receive(ctx, t, client.Hints(), box.handle)
		awaitListening(ctx, t, client.Hints(), "a", &box)
		for _, text := range []string{"", "\x02of a later version", "\x01\xff"} {
			channel := prefix(t) + "h:{a}"
			top.do(ctx, t, "SPUBLISH", channel, string(ring.Sealer("hints").Seal(nil, channel, []byte(text))))
		}
		await(ctx, t, "they are counted", func() bool { return client.Stats().HintBatchesDropped == 3 })
		awaitListening(ctx, t, client.Hints(), "a", &box)
	})
}

// TestHints_ServerWithoutShardedChannels_Work: servers before Redis 7 do not have them.
func TestHints_ServerWithoutShardedChannels_Work(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := open(ctx, t, top.url, "a"), open(ctx, t, top.url, "b")
		var box inbox
		receive(ctx, t, b.Hints(), box.handle)
		awaitListening(ctx, t, a.Hints(), "b", &box)
		want := manyHints()
		if err := a.Hints().Send(ctx, "b", want); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "all arrived", func() bool { return box.count(1) == len(want) })
	}, "--rename-command", "SPUBLISH", "", "--rename-command", "SSUBSCRIBE", "")
}

// TestHints_ServerRestart_Resume: hints sent during the restart are lost and delay nothing.
func TestHints_ServerRestart_Resume(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := open(ctx, t, top.url, "a"), open(ctx, t, top.url, "b")
		var box inbox
		receive(ctx, t, b.Hints(), box.handle)
		awaitListening(ctx, t, a.Hints(), "b", &box)
		for range 2 {
			before := b.Stats().Unsubscribed
			if err := top.kill(); err != nil {
				t.Fatal(err)
			}
			if err := a.Hints().Send(ctx, "b", manyHints()); !errors.Is(err, redis.ErrAway) {
				t.Errorf("while Redis is away: %v", err)
			}
			await(ctx, t, "the loss is noted", func() bool { return b.Stats().Unsubscribed > before })
			top.restart(ctx, t, top.masters...)
			awaitListening(ctx, t, a.Hints(), "b", &box)
		}
		if box.count(1) > 0 {
			t.Error("hints survived a crash of Redis: something queues them")
		}
	})
}

// TestHints_SlotMoves_Follow moves a slot to another master while both are up.
func TestHints_SlotMoves_Follow(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	top, err := start(ctx, "cluster", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.kill() }) // the data is not needed
	a, b := open(ctx, t, top.url, "a"), open(ctx, t, top.url, "b")
	var box inbox
	receive(ctx, t, b.Hints(), box.handle)
	awaitListening(ctx, t, a.Hints(), "b", &box)

	slot := top.do(ctx, t, "CLUSTER", "KEYSLOT", "{b}").(int64)
	owner := int(slot) * len(top.masters) / 16384
	from, to := top.masters[owner], top.masters[(owner+1)%len(top.masters)]
	id, err := to.Do(ctx, "CLUSTER", "MYID")
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.Do(ctx, "CLUSTER", "SETSLOT", itoa(slot), "NODE", id.(string))
	if _, err2 := from.Do(ctx, "CLUSTER", "SETSLOT", itoa(slot), "NODE", id.(string)); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	await(ctx, t, "it subscribed anew", func() bool { return b.Stats().Subscribed > 1 })
	awaitListening(ctx, t, a.Hints(), "b", &box)
}
