package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// message is a message to send. Its number is both its content and its correlation id: phones report the content, and
// event consumers report the correlation id.
type message struct {
	number int
	to     uint64
	lane   string
	sendAt int64 // zero: at once
	ttl    time.Duration
}

var priorities = []string{"low", "normal", "normal", "high", "urgent"}

// draw returns a random message. Short times to live go mostly to recipients that are often offline; otherwise such
// messages would hardly ever expire.
func (r *round) draw(random *rand.Rand) message {
	index := random.IntN(r.Phones)
	m := message{to: recipientOf(index), lane: priorities[random.IntN(len(priorities))]}
	chance := 5
	if profileOf(index) != mixed {
		chance = 25
	}
	mortal, later := random.IntN(100) < chance, random.IntN(100) < 6
	switch {
	case mortal && later:
		m.ttl, m.sendAt = time.Second, r.soon(random, time.Second)
	case mortal && random.IntN(4) == 0:
		m.ttl = between(random, time.Second, 5*time.Second).Truncate(time.Second)
	case mortal:
		m.ttl = time.Second
	case later && random.IntN(4) == 0:
		m.sendAt = r.soon(random, 5*time.Second)
	case later:
		m.sendAt = r.soon(random, 1500*time.Millisecond)
	}
	return m
}

// soon returns a time from 300 ms to most ahead, in whole milliseconds.
func (r *round) soon(random *rand.Rand, most time.Duration) int64 {
	at := r.clock.now() + int64(between(random, 300*time.Millisecond, most))
	return at - at%int64(time.Millisecond)
}

// call is one API call.
type call struct {
	number   int // number of its first message; identifies the call and its body
	key      string
	batch    bool
	messages []message
	body     []byte
}

// newCall numbers the messages, records them and encodes the body.
func (r *round) newCall(key func(number int) string, batch bool, messages ...message) *call {
	number := int(r.numbers.Add(int64(len(messages)))) - len(messages) + 1
	c := &call{number: number, key: key(number), batch: batch, messages: messages}
	for i := range messages {
		m := &messages[i]
		m.number = number + i
		r.note(checker.Entry{
			Kind: checker.Called, Number: m.number, Call: number, Key: c.key, To: m.to, Lane: m.lane,
			SendAt: m.sendAt, TTL: int64(m.ttl), Quiet: r.quiet,
		})
	}
	c.encode()
	return c
}

func keyed(number int) string { return fmt.Sprintf("key-%d", number) }

func keyless(int) string { return "" }

func (c *call) encode() {
	var out bytes.Buffer
	for i, m := range c.messages {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"recipientPhoneNumber":"+%d","messageContent":"%d","correlationId":"%d","priority":%q`, m.to, m.number, m.number, m.lane)
		if m.sendAt != 0 {
			fmt.Fprintf(&out, `,"sendAt":%q`, stamp(m.sendAt))
		}
		if m.ttl != 0 {
			fmt.Fprintf(&out, `,"ttlSeconds":%d`, m.ttl/time.Second)
		}
		out.WriteByte('}')
	}
	c.body = out.Bytes()
	if c.batch {
		c.body = fmt.Appendf(nil, `{"messages":[%s]}`, out.Bytes())
	}
}

func (c *call) request() request {
	q := request{method: "POST", path: "/v1/messages", key: c.key, body: c.body}
	if c.batch {
		q.path += "/batch"
	}
	return q
}
