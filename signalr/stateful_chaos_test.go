package signalr

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// bufferingClient is the client's half of the stateful protocol, as Microsoft's clients have it, over sockets that the test
// takes away at any time.
type bufferingClient struct {
	h     *harness
	query string

	mu       sync.Mutex
	socket   *client
	sent     []string // not acknowledged
	first    int64    // number of sent[0]
	next     int64    // number of the server's next message
	received int64
	waiting  bool
	got      []int // arguments of the server's messages
	done     bool
}

// send keeps a message and sends it if there is a socket. What fails to be sent goes with the next socket.
func (b *bufferingClient) send(message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, message)
	if b.socket != nil {
		b.write(b.socket.nc, message+"\x1e")
	}
}

func (b *bufferingClient) write(nc net.Conn, text string) {
	_, _ = nc.Write(maskedFrame(finBit|opText, []byte(text))) // a lost socket is what this is about
}

// reconnect opens a socket, reads it on a goroutine and sends again what was not acknowledged. The old one may be open.
func (b *bufferingClient) reconnect(kill bool) {
	b.mu.Lock()
	old := b.socket
	b.socket, b.waiting = nil, true
	b.mu.Unlock()
	if kill && old != nil {
		old.nc.Close()
	}
	c, resp := b.h.raw(b.query)
	if resp.StatusCode != 101 {
		b.h.t.Errorf("reconnect: %d", resp.StatusCode)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.socket = c
	sequence, _ := json.Marshal(b.first)
	b.write(c.nc, `{"type":9,"sequenceId":`+string(sequence)+"}\x1e")
	for _, m := range b.sent {
		b.write(c.nc, m+"\x1e")
	}
	go b.read(c)
}

func (b *bufferingClient) read(c *client) {
	for {
		_, payload, err := c.readFrame()
		if err != nil {
			return
		}
		for record := range strings.SplitSeq(strings.TrimSuffix(string(payload), "\x1e"), "\x1e") {
			if !b.take(c, record) {
				return
			}
		}
	}
}

// take handles a message of the server, false when its socket is not the current one any more.
func (b *bufferingClient) take(c *client, record string) bool {
	var m struct {
		Type       int   `json:"type"`
		SequenceID int64 `json:"sequenceId"`
		Arguments  []int `json:"arguments"`
	}
	if json.Unmarshal([]byte(record), &m) != nil {
		return true // the close frame's code
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket != c {
		return false
	}
	if m.Type == typeSequence {
		if m.SequenceID > b.received+1 {
			b.h.t.Errorf("Sequence %d leaves a gap behind %d", m.SequenceID, b.received)
		}
		b.next, b.waiting = m.SequenceID, false
		return true
	}
	if b.waiting {
		return true
	}
	switch m.Type {
	case typeAck:
		for len(b.sent) > 0 && b.first <= m.SequenceID {
			b.sent = b.sent[1:]
			b.first++
		}
	case typeInvocation, typeCompletion:
		number := b.next
		b.next++
		if number < b.received {
			return true
		}
		if number == b.received { // the last acknowledgement was lost
			b.acknowledge(c)
			return true
		}
		b.received = number
		if m.Type == typeInvocation {
			b.got = append(b.got, m.Arguments[0])
		} else {
			b.done = true
		}
		if number%7 == 0 {
			b.acknowledge(c)
		}
	}
	return true
}

func (b *bufferingClient) acknowledge(c *client) {
	text, _ := json.Marshal(b.received)
	b.write(c.nc, `{"type":8,"sequenceId":`+string(text)+"}\x1e")
}

// Sockets die in the middle of everything, in both directions; nothing is lost, nothing comes twice, the order stays.
func TestStatefulChaos(t *testing.T) {
	t.Attr("checklist", "item153 item156 item157 item158 item159 item161 item163 point2")
	for _, engine := range []int{0, -1} {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // not a secret
		var mu sync.Mutex
		var notes []int
		hub, met, gone := meetingHub()
		On1(hub, "Note", func(_ *Call, i int) error {
			mu.Lock()
			defer mu.Unlock()
			notes = append(notes, i)
			return nil
		})
		Handle0(hub, "Last", func(*Call) (int, error) { return 0, nil })
		h := start(t, hub, Options{Pollers: engine, StatefulReconnect: true, Timeouts: Timeouts{Heartbeat: time.Millisecond}})
		t.Logf("pollers %d, seed %d", engine, seed)

		k := h.keep()
		b := &bufferingClient{h: h, query: k.query, socket: k.client, first: 1, next: 1}
		go b.read(k.client)
		conn := await(t, met, "connection")
		const n = 2000
		var both sync.WaitGroup
		both.Go(func() {
			for i := range n {
				if err := conn.Send(context.Background(), "n", i); err != nil {
					t.Errorf("send %d: %v", i, err)
					return
				}
			}
		})
		both.Go(func() {
			for i := range n {
				text, _ := json.Marshal(i)
				b.send(`{"type":1,"target":"Note","arguments":[` + string(text) + `]}`)
			}
			b.send(`{"type":1,"invocationId":"l","target":"Last","arguments":[]}`)
		})
		finished := func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.done && len(b.got) == n
		}
		for range 40 {
			b.mu.Lock()
			far := min(b.received+rnd.Int64N(2*n/40), n)
			b.mu.Unlock()
			h.until("progress", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.received >= far })
			b.reconnect(rnd.IntN(2) == 0)
		}
		h.until("everything", finished)
		both.Wait()
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		mu.Lock()
		if !slices.Equal(notes, want) {
			t.Errorf("the server got %d messages, or others than were sent", len(notes))
		}
		mu.Unlock()
		if !slices.Equal(b.got, want) {
			t.Errorf("the client got %d messages, or others than were sent", len(b.got))
		}
		if len(met) > 0 || len(gone) > 0 {
			t.Error("it is another connection")
		}
		conn.Abort()
		await(t, gone, "OnDisconnected")
	}
}
