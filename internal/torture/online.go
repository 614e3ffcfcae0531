package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// online is one connection of a device. One goroutine reads it and reacts at once; another does the periodic work
// (chores).
type online struct {
	*device
	conn      *signalrclient.Conn
	id        int
	number    uint64
	behaviour behaviour
	atEnd     bool // opened in the ending phase: behaviour is prompt and only the end of the round closes it

	mu      sync.Mutex
	waiting map[string]invocation // pending invocations by id
	got     []pushed              // first deliveries on this connection, in order
	seqs    map[string]uint64     // newest seq of each message on this connection
	late    []lateAck
}

type pushed struct {
	id  string
	seq uint64
}

// invocation is a call that has not been completed.
type invocation struct {
	pushed []pushed  // messages that it acknowledges
	status string    // their status after the acknowledgement
	sync   *syncCall // nil unless the call is a Sync
}

// syncCall holds the parameters of a Sync and the ledger time of the call.
type syncCall struct {
	after uint64
	limit int
	began int64
}

// lateAck is a deferred acknowledgement.
type lateAck struct {
	due    time.Time
	pushed []pushed
}

// run returns when the connection ends: by ctx, after its lifetime, by its behaviour, or by the node.
func (o *online) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var once sync.Once
	end := func() { once.Do(func() { _ = o.conn.Vanish() }) } // the connection may be closed already
	defer end()
	defer context.AfterFunc(ctx, end)()
	if !o.atEnd {
		// A connection opened before the ending phase closes with it, including its unacknowledged messages.
		defer time.AfterFunc(profileOf(o.index).life(o.random), end).Stop()
		defer context.AfterFunc(o.ending, end)()
	}
	var chores sync.WaitGroup
	random := rand.New(rand.NewPCG(o.random.Uint64(), 0))
	if o.behaviour != stalled {
		chores.Go(func() { o.chores(ctx, random) })
	}
	o.listen()
	cancel()
	chores.Wait()
	o.pending.Add(-int64(len(o.waiting))) // they will never complete
}

// listen reads until the connection ends.
func (o *online) listen() {
	var events []signalrclient.Event
	var err error
	patience := 1 + o.random.IntN(40) // messages after which a vanishing phone disconnects
	for received := 0; ; {
		if events, err = o.conn.Next(events[:0], false); err != nil {
			return
		}
		for i := range events {
			o.completed(&events[i])
			received += len(events[i].Messages)
			news := o.recordReceived(events[i].Messages)
			leaves := o.behaviour == crashing && received > 0 || o.behaviour == vanishing && received > patience
			if leaves || o.react(news) != nil {
				return
			}
		}
	}
}

// recordReceived records messages and their order.
func (o *online) recordReceived(messages []signalrclient.Message) (news []pushed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		number, _ := strconv.Atoi(m.Content) // 0 if malformed, which no message has
		o.note(checker.Entry{
			Kind: checker.Received, Number: number, To: o.number, ID: m.ID, Seq: m.Seq, Lane: m.Priority, Conn: o.id, Attempt: m.Attempt,
		})
		p := pushed{m.ID, m.Seq}
		news = append(news, p)
		if o.seqs[m.ID] != m.Seq {
			o.seqs[m.ID] = m.Seq
			o.got = append(o.got, p)
		}
	}
	return news
}

// react does what the behaviour requires at once.
func (o *online) react(news []pushed) error {
	if len(news) == 0 {
		return nil
	}
	switch o.behaviour {
	case reader:
		return o.acknowledge("MarkAsRead", news, "read")
	case upTo:
		return o.acknowledgeUpTo(news[len(news)-1])
	case slow:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.late = append(o.late, lateAck{time.Now().Add(between(o.random, 50*time.Millisecond, 700*time.Millisecond)), news})
		return nil
	case silent, stalled, crashing:
		return nil
	default:
		return o.acknowledge("AcknowledgeMessages", news, "delivered")
	}
}

// acknowledge records the intent before the call: from then on the API may report the acknowledgement.
func (o *online) acknowledge(method string, list []pushed, status string) error {
	ids := make([]string, len(list))
	for i, p := range list {
		ids[i] = p.id
		o.note(checker.Entry{Kind: checker.Acking, ID: p.id, Status: status})
	}
	arguments, err := json.Marshal([][]string{ids})
	if err != nil {
		return err
	}
	if len(ids) == 1 && status == "delivered" {
		return o.invoke("AcknowledgeMessage", fmt.Sprintf("[%q]", ids[0]), invocation{pushed: list, status: status})
	}
	return o.invoke(method, string(arguments), invocation{pushed: list, status: status})
}

// acknowledgeUpTo acknowledges last and all messages received before it.
func (o *online) acknowledgeUpTo(last pushed) error {
	o.mu.Lock()
	list := o.got
	if i := slices.Index(list, last); i >= 0 {
		list = slices.Clone(list[:i+1])
		o.got = o.got[i:] // earlier messages are acknowledged; the last stays in case it is pushed again
	}
	o.mu.Unlock()
	for _, p := range list {
		o.note(checker.Entry{Kind: checker.Acking, ID: p.id, Status: "delivered"})
	}
	return o.invoke("AcknowledgeUpTo", fmt.Sprintf("[%d]", last.seq), invocation{pushed: list, status: "delivered"})
}

// invoke calls a hub method and stores the invocation until its completion.
func (o *online) invoke(method, arguments string, i invocation) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, err := o.conn.Invoke(method, arguments)
	if err != nil {
		return err
	}
	o.waiting[id] = i
	o.pending.Add(1)
	return nil
}

// completed records what a completion confirms.
func (o *online) completed(e *signalrclient.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := o.waiting[e.Completion]
	if !ok {
		return
	}
	delete(o.waiting, e.Completion)
	o.pending.Add(-1)
	if e.Error != "" {
		return // the call failed: nothing is confirmed
	}
	if i.sync != nil {
		o.synced(i.sync, e.Result)
		return
	}
	for _, p := range i.pushed {
		// An older seq belongs to an earlier life of the message. Its acknowledgement may have arrived too late to take effect.
		if o.seqs[p.id] == p.seq {
			o.note(checker.Entry{Kind: checker.Acked, ID: p.id, Status: i.status})
		}
	}
}

func (o *online) synced(k *syncCall, result json.RawMessage) {
	found := []checker.Slot{}
	for _, m := range signalrclient.Scan(result) {
		number, _ := strconv.Atoi(m.Content) // 0 if malformed
		found = append(found, checker.Slot{Seq: m.Seq, Number: number, ID: m.ID})
	}
	o.note(checker.Entry{
		Kind: checker.Synced, Conn: o.id, To: o.number, After: k.after, Limit: k.limit, Found: found, Began: k.began,
	})
}
