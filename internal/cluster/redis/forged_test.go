package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// strangers returns the keyring of another cluster.
var strangers = keyring.Generate(time.Now)

// refused returns how many contents of a part a client has refused.
func refused(c *redis.Client, part string) uint64 {
	for _, p := range c.Stats().Refused {
		if p.Name == part {
			return p.Refused
		}
	}
	panic("no part " + part)
}

// reports records the calls of OnRefused.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) option(o *redis.Options) {
	o.OnRefused = func(part string, _ error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, part)
	}
}

func (r *reports) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.all...)
}

// bankMessage returns a message that an attacker would like a phone to show.
func bankMessage() []byte {
	return presence.AppendHints(nil, []presence.Hint{{Kind: presence.Stored, Recipient: 1, Seq: 7, Message: &esh3ar.Message{
		ID: esh3ar.NewMessageID(), Business: esh3ar.NewBusinessID(), From: "Your Bank", Recipient: 1, Seq: 7, Content: "send me your PIN",
	}}})
}

func TestHints_ForgedOrRepeated_AreRefused(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		var told reports
		client := open(ctx, t, top.url, "a", told.option)
		var box inbox
		receive(ctx, t, client.Hints(), box.handle)
		awaitListening(ctx, t, client.Hints(), "a", &box)
		channel := prefix(t) + "h:{a}"
		publish := func(frame []byte) { top.do(ctx, t, "SPUBLISH", channel, string(frame)) }
		own := ring.Sealer("hints").Seal(nil, channel, presence.AppendHints(nil, []presence.Hint{{Kind: presence.Stored, Recipient: 42, Seq: 42}}))
		publish(own)
		await(ctx, t, "a frame of a node arrives", func() bool { return box.count(42) == 1 })
		forgeries := [][]byte{
			bankMessage(),
			own, // a replay
			strangers.Sealer("hints").Seal(nil, channel, bankMessage()),
			ring.Sealer("hints").Seal(nil, prefix(t)+"h:{b}", bankMessage()),               // for another node
			ring.Sealer("hints").Seal(nil, "another:h:{a}", bankMessage()),                 // for another cluster
			ring.Sealer("values").Seal(nil, channel, bankMessage()),                        // of another part
			ring.Sealer("hints").SealUntil(nil, channel, bankMessage(), time.Unix(1e9, 0)), // expired
			ring.Sealer("hints").SealUntil(nil, channel, bankMessage(), time.Now().Add(time.Hour)),
		}
		for _, frame := range forgeries {
			publish(frame)
		}
		await(ctx, t, "all are refused", func() bool { return refused(client, "hints") == uint64(len(forgeries)) })
		if all, own := box.count(1), box.count(42); all != 1 || own != 1 {
			t.Errorf("got %d hints, %d of them the node's, want 1 and 1", all, own)
		}
		if list := told.list(); len(list) != 1 || list[0] != "hints" {
			t.Errorf("got reports %v, want one about hints", list)
		}
	})
}

func TestPost_Forged_IsRefused(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := open(ctx, t, top.url, "a"), open(ctx, t, top.url, "b")
		got := make(chan string, 1000)
		post := a.BatchTransport("hub")
		running, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		group.Go(func() { _ = post.Receive(running, func(batch string) { got <- batch }) })
		defer group.Wait()
		defer stop()
		await(ctx, t, "it listens", func() bool {
			if err := b.BatchTransport("hub").Send(ctx, "a", []string{"hello"}); err != nil {
				t.Fatal(err)
			}
			return len(got) > 0
		})
		top.do(ctx, t, "SPUBLISH", prefix(t)+"hub:{a}", "forged")
		top.do(ctx, t, "SPUBLISH", prefix(t)+"hub:{a}", string(ring.Sealer("post other").Seal(nil, prefix(t)+"hub:{a}", []byte("forged"))))
		await(ctx, t, "they are refused", func() bool { return refused(a, "post") == 2 })
		if err := b.BatchTransport("hub").Send(ctx, "a", []string{"last"}); err != nil {
			t.Fatal(err)
		}
		for batch := ""; batch != "last"; {
			batch = <-got
			if batch != "hello" && batch != "last" {
				t.Fatalf("got %q", batch)
			}
		}
	})
}

func TestRegistry_Forged_IsLeftOut(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		var told reports
		client := open(ctx, t, top.url, "a", told.option)
		a := client.Registry()
		elsewhere := client.RegistryAt(prefix(t)+"else:", "a")
		foreign := open(ctx, t, top.url, "a", func(o *redis.Options) { o.Keys, o.Prefix = strangers, prefix(t)+"foreign:" }).Registry()
		word := membership.Node{URL: "http://node"}
		for _, r := range []*redis.Registry{a, elsewhere, foreign} {
			if err := announce(ctx, r, word); err != nil {
				t.Fatal(err)
			}
		}
		read := func(prefix string) string {
			text, _ := top.do(ctx, t, "HGET", prefix+"{nodes}:word", "a").(string)
			return text
		}
		own := read(prefix(t))
		var parts map[string]json.RawMessage
		if err := json.Unmarshal([]byte(own), &parts); err != nil {
			t.Fatal(err)
		}
		changed := func(member, value string) string {
			other := map[string]json.RawMessage{}
			for name, raw := range parts {
				other[name] = raw
			}
			other[member] = json.RawMessage(value)
			text, _ := json.Marshal(other)
			return string(text)
		}
		until := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
		forgeries := map[string][2]string{
			"without a signature":         {"evil", `{"id":"evil","url":"http://evil"}`},
			"an entry as of before":       {"a", `{"id":"a","url":"http://evil"}`},
			"another's word":              {"b", own},
			"of another list":             {"a", read(prefix(t) + "else:")},
			"of another cluster":          {"a", read(prefix(t) + "foreign:")},
			"with another URL":            {"a", changed("node", `"{\"url\":\"http://evil\"}"`)},
			"with another time":           {"a", changed("at", "1700000000000")},
			"with no signatures":          {"a", changed("signatures", "{}")},
			"with signatures of nobody":   {"a", changed("signatures", `{"00000000":"AAAA"}`)},
			"with too long a word":        {"a", `{"node":"` + string(make([]byte, 9<<10)) + `"}`},
			"with signatures of no shape": {"a", changed("signatures", `{"x":"AAAA","":"","0000000000":""}`)},
		}
		for name, forged := range forgeries {
			top.do(ctx, t, "HSET", prefix(t)+"{nodes}:word", forged[0], forged[1])
			top.do(ctx, t, "ZADD", prefix(t)+"{nodes}:until", until, forged[0])
			nodes, err := a.Nodes(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range nodes {
				if n.ID != "a" || n.URL != "http://node" {
					t.Errorf("%s: got %+v", name, n)
				}
			}
			if before, err := a.Announce(ctx, word); err != nil || forged[0] == "a" && before.URL != "" {
				t.Errorf("%s: the word before is %+v, %v", name, before, err)
			}
			top.do(ctx, t, "ZREM", prefix(t)+"{nodes}:until", forged[0])
			if err := announce(ctx, a, word); err != nil {
				t.Fatal(err)
			}
		}
		if n := refused(client, "registry"); n < 8 {
			t.Errorf("got %d refused entries, want at least 8", n)
		}
		if list := told.list(); len(list) != 1 || list[0] != "registry" {
			t.Errorf("got reports %v, want one about the registry", list)
		}
	})
}

func TestRegistry_FullOfStrangers_IsBounded(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		client := open(ctx, t, top.url, "a")
		args := []string{"ZADD", prefix(t) + "{nodes}:until"}
		words := []string{"HSET", prefix(t) + "{nodes}:word"}
		for i := range 5000 {
			args = append(args, fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()), fmt.Sprintf("evil%d", i))
			words = append(words, fmt.Sprintf("evil%d", i), "{}")
		}
		top.do(ctx, t, args...)
		top.do(ctx, t, words...)
		if nodes, err := client.Registry().Nodes(ctx); err != nil || len(nodes) != 0 {
			t.Errorf("got %d nodes, %v", len(nodes), err)
		}
		if n := refused(client, "registry"); n == 0 || n > 1024 {
			t.Errorf("got %d entries read, want 1 to 1024", n)
		}
	})
}

func TestLevel_Forged_IsNotThere(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		client := open(ctx, t, top.url, "a")
		l := client.Level()
		set(ctx, t, l, "one", "1")
		copied := top.do(ctx, t, "GET", prefix(t)+"c:one").(string)
		for name, value := range map[string]string{
			"plain":              "1",
			"another key's":      copied,
			"of another cluster": string(strangers.Sealer("values").SealUntil(nil, "two", []byte("1"), time.Now().Add(time.Hour))),
			"past its time":      string(ring.Sealer("values").SealUntil(nil, "two", []byte("1"), time.Now().Add(-time.Second))),
		} {
			before := refused(client, "values")
			top.do(ctx, t, "SET", prefix(t)+"c:two", value, "EX", "100")
			if got := get(ctx, t, l, "two"); got != "" {
				t.Errorf("%s: got %q", name, got)
			}
			if n := refused(client, "values"); n != before+1 {
				t.Errorf("%s: got %d refused, want 1", name, n-before)
			}
		}
		if got := get(ctx, t, l, "one"); got != "1" {
			t.Errorf("the value itself: got %q, want 1", got)
		}
	})
}

func TestInvalidations_Forged_AreIgnored(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		client := open(ctx, t, top.url, "a")
		l := subscribe(ctx, t, client.Level())
		top.do(ctx, t, "SPUBLISH", prefix(t)+"{invalidations}", "forged")
		await(ctx, t, "it is refused", func() bool { return refused(client, "invalidations") == 1 })
		if err := l.level.Publish(ctx, "own"); err != nil {
			t.Fatal(err)
		}
		if text := <-l.texts; text != "own" {
			t.Errorf("got %q, want own", text)
		}
	})
}

func TestPresence_FullOfStrangers_IsBounded(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		args := []string{"ZADD", prefix(t) + "p:{967770000000}"}
		for i := range 10_000 {
			args = append(args, fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()), fmt.Sprintf("evil%d", i))
		}
		top.do(ctx, t, args...)
		nodes, err := open(ctx, t, top.url, "a").Presence().Nodes(ctx, someRecipients(1))
		if err != nil || len(nodes[0]) != 32 {
			t.Errorf("got %d nodes, %v, want 32", len(nodes[0]), err)
		}
	})
}

func TestQuota_Poisoned_AnswersWithinItsBounds(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q, b := open(ctx, t, top.url, "a").Quotas(), hourly(10)
		for _, value := range []string{"", "x", "nan", "nan nan", "inf 1", "-inf 1", "1e300 1", "1e300 1e-300", "-1e300 1e300", "1 0", "0 0", "1e18 -1", "9e15 nan", "1 inf"} {
			top.do(ctx, t, "SET", prefix(t)+"q:{k}", value, "EX", "100")
			taken, err := q.Take(ctx, "k", b, 1)
			if err == nil && (taken.Remaining < 0 || taken.Remaining > b.Burst || taken.RetryAfter < 0 || taken.RetryAfter > 11*time.Hour || taken.Reset < 0 || taken.Reset > 11*time.Hour) {
				t.Errorf("%q: got %+v", value, taken)
			}
		}
	})
}
