package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// simConfig is the configuration of a simulated history.
type simConfig struct {
	nodes int
	calm  bool // no hint is lost or delayed, so hints alone must deliver every message, without a sweep
}

// fleet is the nodes of a simulation and their network: the real state machine of each node's router, presence, and hints that are
// lost, duplicated, delayed or misrouted.
type fleet struct {
	simConfig
	nodes    []*simNode
	presence map[simEntry]time.Time // until when
	failing  int                    // calls of presence that will fail
}

// simEntry is a presence entry: a node has a session of a recipient.
type simEntry struct {
	node      *simNode
	recipient esh3ar.Recipient
}

// simNode is one node. Only its name survives a crash.
type simNode struct {
	id       membership.NodeID
	paused   bool
	board    *presence.RouterState // nil: the only node
	sessions *presence.Table[*simConn]
	parcels  [][]presence.Hint // on their way to it
	looking  *simLookUp
	saying   *simSaying
	renewed  time.Time // when a share of its recipients was last asserted again
}

// simLookUp is a look-up in flight. Its answer is computed when it begins and arrives later.
type simLookUp struct {
	asked []esh3ar.Recipient
	nodes [][]membership.NodeID
	err   error
}

// simSaying is a presence update in flight.
type simSaying struct{ assert, retract []esh3ar.Recipient }

func (f *fleet) open(s simConfig, now time.Time) {
	f.simConfig, f.presence = s, map[simEntry]time.Time{}
	for i := range max(s.nodes, 1) {
		n := &simNode{id: membership.NodeID(fmt.Sprint("n", i)), renewed: now}
		n.begin(s.nodes > 1)
		f.nodes = append(f.nodes, n)
	}
}

// begin is the start of a process.
func (n *simNode) begin(cluster bool) {
	n.sessions = nil
	n.board, n.looking, n.saying, n.parcels, n.paused = nil, nil, nil, nil, false
	if cluster {
		n.sessions = presence.NewTable[*simConn]()
		n.board = presence.NewRouterState(n.id, presence.Limits{Hints: 40, Dirty: 10})
	}
}

func (n *simNode) opened(c *simConn) {
	if n.board != nil && n.sessions.Add(c.inbox.recipient, c) {
		n.board.Changed(c.inbox.recipient)
	}
}

func (n *simNode) closed(c *simConn) {
	if n.board != nil && n.sessions.Remove(c.inbox.recipient, c) {
		n.board.Changed(c.inbox.recipient)
	}
}

func (n *simNode) holds(rs []esh3ar.Recipient) []bool {
	held := make([]bool, len(rs))
	for i, r := range rs {
		held[i] = n.sessions.Has(r)
	}
	return held
}

// mishapKinds are the steps that a calm history does not contain.
var mishapKinds = [opKinds]bool{
	opHintLost: true, opReadFails: true, opPause: true, opCrash: true,
	opParcelLost: true, opParcelAstray: true, opPresenceWiped: true, opPresenceLies: true, opPresenceFails: true, opNodePause: true,
}

// doFleet runs a step of the traffic between nodes.
func (w *simulation) doFleet(o op) {
	n := w.node(o.a)
	if n.board == nil {
		return
	}
	switch o.kind {
	case opRoute:
		w.route(n)
	case opSay:
		w.say(n, o.b)
	case opCarry:
		w.carry(n)
	case opParcelLost, opParcelTwice, opParcelLate, opParcelAstray:
		w.misroute(w.fleet.nodes[o.a%uint32(len(w.fleet.nodes))], o)
	case opPresenceWiped:
		w.mishaps = true
		clear(w.presence)
	case opPresenceLies:
		w.mishaps = true
		w.lie(simEntry{n, w.inboxes[o.b%simRecipients].recipient})
	case opPresenceFails:
		w.mishaps = true
		w.failing = int(1 + o.b%4)
	case opNodePause:
		w.mishaps = true
		w.pauseNode(n)
	case opNodeWake:
		w.wake(w.fleet.nodes[o.a%uint32(len(w.fleet.nodes))])
	case opMove:
		w.move(o)
	case opHintLies: // a hint of what never was
		r := w.inboxes[o.b%simRecipients]
		lie := enqueuedHint(r.recipient, esh3ar.Seq(len(r.messages))+5, esh3ar.MessageID{}, 1)
		n.parcels = append(n.parcels, []presence.Hint{lie})
	default: // the others are steps of nodes
	}
}

// node returns a running node; at least one always runs.
func (w *simulation) node(n uint32) *simNode {
	var awake []*simNode
	for _, node := range w.fleet.nodes {
		if !node.paused {
			awake = append(awake, node)
		}
	}
	return awake[n%uint32(len(awake))]
}

// tell passes a notice about a recipient to the sessions of a node and, as a hint, to the other nodes.
func (w *simulation) tell(n *simNode, from *simConn, hints ...presence.Hint) {
	for i := range hints {
		ev, _ := eventOf(&hints[i], w.now)
		if hints[i].Kind == presence.Acknowledged { // whatever a planted fault makes of it between nodes
			ev = event{kind: endedEvent, ids: hints[i].IDs}
		}
		w.hear(n, from, hints[i].Recipient, ev)
	}
	if n.board != nil && len(hints) > 0 && !n.board.Enqueue(hints) {
		w.mishaps = true
	}
}

func (w *simulation) hear(n *simNode, from *simConn, r esh3ar.Recipient, ev event) {
	for _, c := range w.conns {
		if c != from && c.node == n && c.inbox.recipient == r && !c.closed {
			c.mailbox = append(c.mailbox, ev)
		}
	}
}

// route runs half of a look-up of a node: the look-up begins, or its answer arrives.
func (w *simulation) route(n *simNode) {
	if n.looking == nil {
		if asked := n.board.LookUp(); asked != nil {
			n.looking = w.lookUp(asked)
		}
		return
	}
	l := n.looking
	n.looking = nil
	routed := n.board.ResolveTargets(l.nodes, n.holds(l.asked), l.err)
	for i := range routed.Batches {
		p := &routed.Batches[i]
		n.board.Sent(p, nil)
		to := w.fleet.nodes[slices.IndexFunc(w.fleet.nodes, func(n *simNode) bool { return n.id == p.To })]
		if to == n {
			w.breaks("%s sent hints to itself", n.id)
		}
		to.parcels = append(to.parcels, p.Hints)
	}
	for i := range routed.Offline {
		if l.err != nil {
			w.breaks("%s is called absent, and presence had not answered", routed.Offline[i].Recipient)
		}
		w.settles = append(w.settles, simSettle{nil, n, settlement{changes: []esh3ar.Change{absentChange(&routed.Offline[i], w.now)}}})
	}
}

func (w *simulation) lookUp(asked []esh3ar.Recipient) *simLookUp {
	l := &simLookUp{asked: asked}
	if w.presenceFails() {
		l.err = errSim
		return l
	}
	l.nodes = make([][]membership.NodeID, len(asked))
	for i, r := range asked {
		for _, n := range w.fleet.nodes {
			if _, ok := w.presence[simEntry{n, r}]; ok {
				l.nodes[i] = append(l.nodes[i], n.id)
			}
		}
	}
	return l
}

func (w *simulation) presenceFails() bool {
	if w.failing == 0 {
		return false
	}
	w.failing--
	return true
}

// say runs half of a presence update of a node: the node takes the next batch, or the batch in flight arrives. After a failure
// the node does not know whether the batch arrived.
func (w *simulation) say(n *simNode, choice uint32) {
	if n.saying == nil {
		if asked := n.board.NextBatch(); asked != nil {
			assert, retract := n.board.Decide(n.holds(asked))
			n.saying = &simSaying{assert, retract}
		}
		return
	}
	s := n.saying
	n.saying = nil
	var err error
	if w.presenceFails() {
		err = errSim
	}
	if err == nil || choice%2 == 0 {
		w.assert(n, s.assert, w.now)
		for _, r := range s.retract {
			delete(w.presence, simEntry{n, r})
		}
	}
	for _, r := range n.board.Done(err, err) {
		w.hear(n, nil, r, event{kind: sweepEvent, seq: w.counter(r)})
	}
}

func (w *simulation) assert(n *simNode, rs []esh3ar.Recipient, now time.Time) {
	for _, r := range rs {
		w.presence[simEntry{n, r}] = now.Add(presence.TTL)
	}
}

func (w *simulation) counter(r esh3ar.Recipient) esh3ar.Seq {
	return esh3ar.Seq(len(w.inboxes[int(r)%simRecipients].messages))
}

// renew makes nodes assert their recipients again, and expires old entries.
func (w *simulation) renew() {
	const every = presence.RenewInterval / presence.Shards
	for _, n := range w.fleet.nodes {
		for ; n.board != nil && !n.paused && !n.renewed.Add(every).After(w.now); n.renewed = n.renewed.Add(every) {
			if share, ok := n.board.Renew(); ok {
				held := n.sessions.Shard(share)
				w.assert(n, held, n.renewed)
				n.board.Renewed(len(held), nil)
			}
		}
	}
	for entry, until := range w.presence {
		if !until.After(w.now) {
			delete(w.presence, entry)
			w.mishaps = w.mishaps || entry.node.sessions.Has(entry.recipient)
		}
	}
}

// carry delivers the oldest parcel to its node.
func (w *simulation) carry(n *simNode) {
	if len(n.parcels) == 0 {
		return
	}
	hints := n.parcels[0]
	n.parcels = n.parcels[1:]
	rs := make([]esh3ar.Recipient, len(hints))
	for i := range hints {
		rs[i] = hints[i].Recipient
	}
	here, _ := n.board.Receive(hints, n.holds(rs))
	for _, h := range here {
		if ev, ok := eventOf(&h, w.now); ok {
			w.hear(n, nil, h.Recipient, ev)
		}
	}
}

// misroute drops, duplicates or delays a parcel, or delivers it to another node.
func (w *simulation) misroute(n *simNode, o op) {
	if len(n.parcels) == 0 {
		return
	}
	first := n.parcels[0]
	switch o.kind {
	case opParcelLost:
		w.mishaps = true
		n.parcels = n.parcels[1:]
	case opParcelTwice:
		n.parcels = append(n.parcels, first)
	case opParcelLate:
		n.parcels = append(n.parcels[1:len(n.parcels):len(n.parcels)], first)
	default:
		w.mishaps = true
		n.parcels = n.parcels[1:]
		other := w.fleet.nodes[o.b%uint32(len(w.fleet.nodes))]
		other.parcels = append(other.parcels, first)
	}
}

// lie inverts a presence entry.
func (w *simulation) lie(e simEntry) {
	if _, ok := w.presence[e]; ok {
		delete(w.presence, e)
		return
	}
	w.presence[e] = w.now.Add(presence.TTL)
}

// restart restarts a node. Its presence entries stay until they expire or another node follows them.
func (w *simulation) restart(n *simNode) {
	w.mishaps = w.mishaps || n.board != nil
	n.begin(n.board != nil)
	n.renewed = w.now
}

// pauseNode pauses a node, unless it is the last running one.
func (w *simulation) pauseNode(n *simNode) {
	running := 0
	for _, other := range w.fleet.nodes {
		if !other.paused {
			running++
		}
	}
	n.paused = running > 1
}

func (w *simulation) wake(n *simNode) {
	if n.paused {
		n.paused = false
		n.renewed = w.now // whatever was missed is not made good at once
		w.resume(n)
	}
}

// move connects a phone to another node. Its old connection does not notice.
func (w *simulation) move(o op) {
	var there []*simConn
	for _, c := range w.conns {
		if !c.closed && !c.deaf {
			there = append(there, c)
		}
	}
	if len(there) == 0 {
		return
	}
	c := there[o.a%uint32(len(there))]
	c.deaf = true
	w.note("%s is left behind", c.name())
	device := uint32(0)
	if c.device.ID == "1" {
		device = 1
	}
	w.connect(c.inbox, o.b/2*2+device)
}

// converge delivers everything in flight between nodes. No time passes.
func (w *simulation) converge() {
	for range 200 {
		for _, n := range w.fleet.nodes {
			if n.board == nil {
				continue
			}
			w.say(n, 0)
			w.route(n)
			for len(n.parcels) > 0 {
				w.carry(n)
			}
		}
		w.hearAll()
		if w.broken != nil || w.converged() {
			return
		}
	}
	w.breaks("the nodes do not come to rest")
}

func (w *simulation) converged() bool {
	for _, n := range w.fleet.nodes {
		if n.board != nil && (n.looking != nil || n.saying != nil || len(n.parcels) > 0 || !n.board.Idle()) {
			return false
		}
	}
	return !slices.ContainsFunc(w.conns, func(c *simConn) bool { return len(c.mailbox) > 0 })
}

// cut drops everything in flight between nodes.
func (w *simulation) cut() {
	for _, n := range w.fleet.nodes {
		n.parcels = nil
		if n.looking != nil {
			asked := n.looking.asked
			n.looking = nil
			n.board.ResolveTargets(nil, n.holds(asked), errSim)
		}
	}
}

// probe sends every recipient one more message and follows it. The message must wake only sessions that it concerns, all
// windows must be empty when it is acknowledged, and wrong presence entries that its hint followed must be corrected.
func (w *simulation) probe() {
	w.failing = 0
	w.converge()
	for i, box := range w.inboxes {
		m := w.newMessage(box, op{})
		w.enter(box, m)
		w.hint(w.node(uint32(i)), box, m, true)
		w.converge()
		w.acknowledgeOnce(m)
	}
	w.checkPresence(!w.mishaps)
}

func (w *simulation) acknowledgeOnce(m *simMessage) {
	key := pushKey{m.ID, m.Life}
	got := slices.DeleteFunc(slices.Clone(w.conns), func(c *simConn) bool { return c.by[key] == nil })
	if len(got) == 0 {
		return
	}
	w.acknowledge(got[0], []esh3ar.MessageID{m.ID}, false)
	w.commit(false)
	w.converge()
	for _, c := range got[1:] {
		if !w.mishaps && c.step.unacked(messageLife(key)) != nil {
			w.breaks("%d was acknowledged on %s and still fills the window on %s", m.Seq, got[0].node.id, c.node.id)
		}
	}
}

// checkPresence compares presence with the connections. After a hint to every recipient no wrong entry may be left, and if no
// failure was injected, no connection may be missing.
func (w *simulation) checkPresence(whole bool) {
	for _, n := range w.fleet.nodes {
		for _, box := range w.inboxes {
			_, said := w.presence[simEntry{n, box.recipient}]
			held := n.sessions.Has(box.recipient)
			if said && !held {
				w.breaks("%s was hinted for %s, does not hold it, and still says that it does", n.id, box.recipient)
			}
			if held && !said && whole {
				w.breaks("%s holds %s and does not say so", n.id, box.recipient)
			}
		}
	}
}
