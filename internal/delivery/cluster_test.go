package delivery_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/testkit/clustersim"
)

// town is a fixture of several nodes with one store, in a synctest bubble.
type town struct {
	t       *testing.T
	store   *embedded.Store
	between *clustersim.Cluster
	nodes   []*townNode
	ids     uint32
}

type townNode struct {
	engine *delivery.Engine
	router *presence.Router
	stop   func()
}

// sweepEvery is the default interval of the sweep, as a constant because tests compute with it.
const sweepEvery = 3 * time.Second

func build(t *testing.T, nodes int, opts delivery.Options) *town {
	t.Helper()
	store, err := embedded.Open(t.TempDir(), embedded.Options{SettleLinger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, store: store, between: clustersim.New()}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range nodes {
		c.nodes = append(c.nodes, c.start(membership.NodeID(fmt.Sprint("n", i)), opts))
	}
	synctest.Wait()
	return c
}

func (c *town) start(id membership.NodeID, opts delivery.Options) *townNode {
	n := &townNode{}
	n.router = presence.NewRouter(presence.Options{
		Self: id, Presence: presence.NewCachedPresence(clustersim.Presence{Cluster: c.between, Self: id}), Hints: clustersim.Hints{Cluster: c.between, Self: id},
	})
	opts.Remote = n.router
	n.engine = delivery.New(c.store, opts)
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 2)
	go func() { done <- n.engine.Run(ctx) }()
	go func() { done <- n.router.Run(ctx, n.engine.LocalEndpoint()) }()
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				c.t.Error(err)
			}
		}
	}
	return n
}

// append stores messages of one recipient in one commit and, unless through is nil, publishes them there.
func (c *town) append(through *townNode, r esh3ar.Recipient, contents ...string) []*esh3ar.Message {
	c.t.Helper()
	call := &esh3ar.Call{Business: esh3ar.NewBusinessID()}
	for _, content := range contents {
		call.Messages = append(call.Messages, &esh3ar.Message{
			ID: c.newID(), Business: call.Business, Recipient: r, Priority: esh3ar.Normal, Content: content,
		})
	}
	if _, err := c.store.Append(c.t.Context(), []*esh3ar.Call{call}); err != nil {
		c.t.Fatal(err)
	}
	if through != nil {
		through.engine.Publish(call.Messages)
	}
	return call.Messages
}

// newID returns an id with the time of this bubble. The ids of esh3ar.NewMessageID never decrease, even across bubbles.
func (c *town) newID() esh3ar.MessageID {
	c.ids++
	var entropy [10]byte
	binary.BigEndian.PutUint32(entropy[2:], c.ids)
	return esh3ar.MessageIDAt(esh3ar.TimeOf(time.Now()), entropy)
}

func (n *townNode) connect(r esh3ar.Recipient, phone *socket) *delivery.Session {
	return n.engine.Connect(delivery.Device{Recipient: r}, phone)
}

// got compares the messages that a phone has received so far. It lets no time pass.
func (c *town) got(phone *socket, want ...string) {
	c.t.Helper()
	synctest.Wait()
	if got := phone.received(); !slices.Equal(got, want) {
		c.t.Errorf("received %v, want %v", got, want)
	}
}

func (c *town) is(m *esh3ar.Message, want esh3ar.Status) {
	c.t.Helper()
	synctest.Wait()
	if r, err := c.store.Message(c.t.Context(), m.ID); err != nil || r.Status != want {
		c.t.Errorf("%s is %s, %v, want %s", m.Content, r.Status, err, want)
	}
}

// TestCluster_PhoneOnAnotherNode_ReceivesMessage: hints alone deliver the message, before the next sweep.
func TestCluster_PhoneOnAnotherNode_ReceivesMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{SweepEvery: time.Hour})
		phone := &socket{}
		s := c.nodes[1].connect(alice, phone)
		synctest.Wait()
		m := c.append(c.nodes[0], alice, "hello", "again")
		c.got(phone, "hello/1", "again/1")
		time.Sleep(time.Second)
		c.is(m[0], esh3ar.Sent)
		acknowledge(t, s, m[0].ID, m[1].ID)
		c.is(m[1], esh3ar.Delivered)
	})
}

// TestCluster_DevicesOnSeveralNodes_AllReceive: the first acknowledgement frees the window of a device on another node.
func TestCluster_DevicesOnSeveralNodes_AllReceive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 3, delivery.Options{SweepEvery: time.Hour, Rules: delivery.Rules{Window: 2}})
		one, two := &socket{}, &socket{}
		first := c.nodes[0].connect(alice, one)
		c.nodes[1].connect(alice, two)
		synctest.Wait()
		m := c.append(c.nodes[2], alice, "0", "1", "2", "3")
		c.got(one, "0/1", "1/1")
		c.got(two, "0/1", "1/1")
		acknowledge(t, first, m[0].ID, m[1].ID)
		c.got(one, "0/1", "1/1", "2/1", "3/1")
		c.got(two, "0/1", "1/1", "2/1", "3/1")
	})
}

// TestCluster_Cancel_ReachesOtherNode: a message that another node canceled leaves the window and is not redelivered.
func TestCluster_Cancel_ReachesOtherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{SweepEvery: time.Hour, Rules: delivery.Rules{Window: 1}})
		phone := &socket{}
		c.nodes[1].connect(alice, phone)
		synctest.Wait()
		m := c.append(c.nodes[0], alice, "taken back", "next")
		c.got(phone, "taken back/1")
		cancel := esh3ar.Change{Message: m[0].ID, Recipient: alice, To: esh3ar.Canceled, At: esh3ar.TimeOf(time.Now())}
		if _, err := c.store.Settle(t.Context(), []esh3ar.Change{cancel}); err != nil {
			t.Fatal(err)
		}
		c.nodes[0].engine.NotifyEndedUnacked(alice, m[0].ID, 1)
		c.got(phone, "taken back/1", "next/1")
	})
}

// TestCluster_ScheduledMessage_ReachesPhone: any node may run the task.
func TestCluster_ScheduledMessage_ReachesPhone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 3, delivery.Options{SweepEvery: time.Hour})
		phones := []*socket{{}, {}, {}}
		for i, n := range c.nodes {
			n.connect(alice+esh3ar.Recipient(i), phones[i])
		}
		for i := range phones {
			m := &esh3ar.Message{
				ID: c.newID(), Business: esh3ar.NewBusinessID(), Recipient: alice + esh3ar.Recipient(i), Content: "later",
				SendAt: esh3ar.TimeOf(time.Now().Add(time.Minute)),
			}
			if _, err := c.store.Append(t.Context(), []*esh3ar.Call{{Business: m.Business, Messages: []*esh3ar.Message{m}}}); err != nil {
				t.Fatal(err)
			}
			c.nodes[0].engine.Publish([]*esh3ar.Message{m})
		}
		time.Sleep(61 * time.Second)
		for _, phone := range phones {
			c.got(phone, "later/1")
		}
	})
}

// TestCluster_RecipientOffline_MessageIsPending: only the messages of offline recipients become pending.
func TestCluster_RecipientOffline_MessageIsPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{})
		m := c.append(c.nodes[0], alice, "later")
		time.Sleep(time.Second)
		c.is(m[0], esh3ar.Pending)
		phone := &socket{}
		c.nodes[1].connect(alice, phone)
		c.got(phone, "later/1")
	})
}

// TestStaleWalk_RecipientOnOtherNode_StaysQueued: the messages of a phone that is connected to another node and whose window is
// full stay queued without limit. While presence is unavailable, no recipient counts as offline.
func TestStaleWalk_RecipientOnOtherNode_StaysQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{})
		full := &socket{}
		full.full.Store(true)
		c.nodes[1].connect(alice, full)
		time.Sleep(10 * time.Second) // the walks of the start are over
		there := c.append(c.nodes[0], alice, "there")
		c.between.Away(true, false)
		gone := c.append(c.nodes[0], alice+1, "gone")
		time.Sleep(10 * time.Second)
		c.is(there[0], esh3ar.Queued)
		c.is(gone[0], esh3ar.Queued)
		c.between.Away(false, false)
		time.Sleep(10*time.Second + 2*time.Second)
		c.is(gone[0], esh3ar.Pending)
		time.Sleep(5 * time.Minute) // several walks
		c.is(there[0], esh3ar.Queued)
	})
}

// TestStaleWalk_NodeGone_MakesPending: a node commits a message, dies before it routes the message, and never returns.
func TestStaleWalk_NodeGone_MakesPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{})
		for range 3 {
			time.Sleep(10 * time.Second) // the walks of before are over
			m := c.append(nil, alice, "of a node that died")
			time.Sleep(2*time.Minute + 10*time.Second)
			c.is(m[0], esh3ar.Pending)
		}
	})
}

// TestCluster_ConnectDuringPublish_DeliversMessage: the look-up precedes the assertion of presence, and the commit follows the read of
// the inbox.
func TestCluster_ConnectDuringPublish_DeliversMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 2, delivery.Options{SweepEvery: time.Hour})
		c.between.Slow(time.Second)
		phone := &socket{}
		c.nodes[1].connect(alice, phone)
		synctest.Wait() // it has read its inbox, and its assertion is on the way
		c.between.Slow(0)
		c.append(c.nodes[0], alice, "between")
		c.got(phone)
		time.Sleep(2 * time.Second)
		c.got(phone, "between/1")
	})
}

// TestSweep_NoHints_DeliversAll: presence and hints are unavailable during the whole test.
func TestSweep_NoHints_DeliversAll(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs: %t", hangs), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := build(t, 2, delivery.Options{SweepEvery: sweepEvery})
				c.between.Away(true, hangs)
				phone := &socket{}
				c.nodes[1].connect(alice, phone)
				synctest.Wait()
				var want []string
				for i := range 20 {
					c.append(c.nodes[0], alice, fmt.Sprint(i))
					want = append(want, fmt.Sprintf("%d/1", i))
					time.Sleep(sweepEvery)
					c.got(phone, want...)
				}
			})
		})
	}
}

// TestCluster_HintsLostAndPresenceWiped_DeliversAll: everything arrives within the period of the sweep, once, and in order.
func TestCluster_HintsLostAndPresenceWiped_DeliversAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 3, delivery.Options{SweepEvery: sweepEvery})
		sends := 0
		c.between.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery {
			whole := clustersim.Delivery{To: to, Hints: hints}
			late, astray := whole, whole
			late.After, astray.To = 700*time.Millisecond, "n0"
			switch sends++; sends % 6 {
			case 0, 3:
				return nil
			case 1:
				return []clustersim.Delivery{whole, late}
			case 4:
				return []clustersim.Delivery{astray}
			case 5:
				return []clustersim.Delivery{late}
			}
			return []clustersim.Delivery{whole}
		})
		crowd := newCrowd(c, 12)
		for round := range 40 {
			if round%5 == 0 {
				c.between.Wipe()
			}
			crowd.send(round)
			time.Sleep(200 * time.Millisecond)
			crowd.acknowledge()
		}
		time.Sleep(sweepEvery)
		crowd.check()
		for i, n := range c.nodes {
			if s := n.router.Stats(); s.Sent == 0 || s.Received == 0 {
				t.Errorf("node %d took no part: %+v", i, s)
			}
		}
	})
}

// TestCluster_StalePresence_LosesAndReordersNothing moves phones between nodes faster than presence entries expire, while all nodes
// accept messages, so most entries are wrong. Every message must arrive on the current connection, in order, within one
// period of the sweep.
func TestCluster_StalePresence_LosesAndReordersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := build(t, 3, delivery.Options{SweepEvery: sweepEvery})
		var seen []string // by the phone, over all its connections, repeats left out
		note := func(phone *socket) {
			for _, content := range phone.received() {
				if !slices.Contains(seen, content) {
					seen = append(seen, content)
				}
			}
		}
		var sent []*esh3ar.Message
		for hop := range 60 {
			phone := &socket{}
			session := c.nodes[hop%3].connect(alice, phone)
			for k := range 4 {
				sent = append(sent, c.append(c.nodes[(hop+k)%3], alice, fmt.Sprint(len(sent)))...)
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait()
			note(phone)
			var ids []esh3ar.MessageID
			for _, m := range sent {
				if slices.Contains(phone.received(), m.Content+"/1") {
					ids = append(ids, m.ID)
				}
			}
			acknowledge(t, session, ids...)
			session.Close(true)
		}
		phone := &socket{}
		c.nodes[0].connect(alice, phone)
		time.Sleep(sweepEvery)
		note(phone)
		if len(seen) != len(sent) || !slices.IsSortedFunc(seen, byNumber) {
			t.Errorf("%d of %d came, in order: %t", len(seen), len(sent), slices.IsSortedFunc(seen, byNumber))
		}
		stale := uint64(0)
		for _, n := range c.nodes {
			stale += n.router.Stats().Misrouted
		}
		if stale == 0 {
			t.Error("no hint went astray: nothing was remembered wrongly")
		}
	})
}

// crowdedTown is a fixture with phones on all nodes, each with a second device on the next node, and businesses that call any node.
type crowdedTown struct {
	*town
	phones []*crowdPhone
	sent   map[esh3ar.Recipient][]*esh3ar.Message
}

type crowdPhone struct {
	socket
	recipient esh3ar.Recipient
	session   *delivery.Session
}

func newCrowd(c *town, recipients int) *crowdedTown {
	k := &crowdedTown{town: c, sent: map[esh3ar.Recipient][]*esh3ar.Message{}}
	for i := range recipients {
		for device := range 2 {
			p := &crowdPhone{recipient: alice + esh3ar.Recipient(i)}
			n := c.nodes[(i+device)%len(c.nodes)]
			p.session = n.engine.Connect(delivery.Device{Recipient: p.recipient, ID: fmt.Sprint(device)}, &p.socket)
			k.phones = append(k.phones, p)
		}
	}
	synctest.Wait()
	return k
}

// send stores messages for every recipient, through a node that does not depend on where the recipients are connected.
func (k *crowdedTown) send(round int) {
	for i := range len(k.phones) / 2 {
		r := alice + esh3ar.Recipient(i)
		n := len(k.sent[r])
		k.sent[r] = append(k.sent[r], k.append(k.nodes[(round+i)%len(k.nodes)], r, fmt.Sprint(n), fmt.Sprint(n+1))...)
	}
}

// acknowledge makes every second device acknowledge all messages of its user. Each message must have arrived within one period
// of the sweep after its commit.
func (k *crowdedTown) acknowledge() {
	synctest.Wait()
	late := esh3ar.TimeOf(time.Now().Add(-sweepEvery))
	for i, p := range k.phones {
		if i%2 == 0 {
			continue
		}
		var ids []esh3ar.MessageID
		for _, m := range k.sent[p.recipient] {
			if slices.Contains(p.received(), m.Content+"/1") {
				ids = append(ids, m.ID)
			} else if m.CreatedAt() <= late {
				k.t.Errorf("phone %d did not get %s in time", i, m.Content)
			}
		}
		acknowledge(k.t, p.session, ids...)
	}
}

// check compares the received messages with the sent ones.
func (k *crowdedTown) check() {
	synctest.Wait()
	for i, p := range k.phones {
		got := p.received()
		for n := range got[:max(len(got), 1)-1] {
			if !slices.IsSortedFunc(got[n:n+2], byNumber) {
				k.t.Errorf("phone %d: %s came before %s", i, got[n], got[n+1])
			}
		}
		if i%2 == 1 && len(got) != len(k.sent[p.recipient]) { // the other may be served by its user's acknowledgements
			k.t.Errorf("phone %d has %d of %d", i, len(got), len(k.sent[p.recipient]))
		}
	}
}

func byNumber(a, b string) int {
	var x, y int
	_, _ = fmt.Sscan(a, &x)
	_, _ = fmt.Sscan(b, &y)
	return x - y
}
