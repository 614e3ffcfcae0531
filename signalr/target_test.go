package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// named authenticates by a user name in the token.
func named(r *http.Request) (Identity, error) { return Identity{UserID: BearerToken(r)}, nil }

// crowd is a server with clients of several users, and their connections.
type crowd struct {
	*harness
	met chan *Conn
}

func newCrowd(t *testing.T, opts Options) *crowd {
	hub, met, _ := meetingHub()
	On1(hub, "Shout", func(c *Call, what string) error { return c.Others().Send(c.Context(), "shout", what) })
	On2(hub, "Whisper", func(c *Call, group, what string) error { return c.OthersInGroup(group).TrySend("whisper", what) })
	opts.Authenticate = named
	return &crowd{start(t, hub, opts), met}
}

// enter connects a user.
func (w *crowd) enter(user string) (*client, *Conn) {
	w.t.Helper()
	c, resp := w.raw("?access_token=" + user)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatal(resp.Status)
	}
	c.send(hello)
	c.expect("{}")
	return c, await(w.t, w.met, "connection")
}

func sent(target string, args ...string) string {
	return `{"type":1,"target":"` + target + `","arguments":[` + strings.Join(args, ",") + `]}`
}

// item168: each target reaches exactly those it names. Everybody then gets an end, so that what came before it is all.
func TestTargets(t *testing.T) {
	w := newCrowd(t, quiet())
	a1, connA1 := w.enter("amal")
	a2, connA2 := w.enter("amal")
	b, connB := w.enter("badr")
	all := map[string]*client{"a1": a1, "a2": a2, "b": b}
	for conn, groups := range map[*Conn][]string{connA1: {"x", "y"}, connA2: {"x"}, connB: {"y"}} {
		for _, g := range groups {
			if err := conn.Join(g); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name string
		to   Target
		want string
	}{
		{"all", w.All(), "a1 a2 b"},
		{"all but", w.AllExcept(connA2.ID(), "nobody"), "a1 b"},
		{"client", w.Client(connB.ID()), "b"},
		{"clients", w.Clients(connB.ID(), connA1.ID(), connB.ID(), "nobody"), "a1 b"},
		{"group", w.Group("x"), "a1 a2"},
		{"groups, each once", w.Groups("x", "y"), "a1 a2 b"},
		{"group but", w.GroupExcept("y", connA1.ID()), "b"},
		{"user with several connections (item169)", w.User("amal"), "a1 a2"},
		{"users", w.Users("amal", "badr", "amal"), "a1 a2 b"},
		{"nobody", w.Client("nobody"), ""},
		{"no group", w.Group("z"), ""},
		{"case of a group", w.Group("X"), ""},
		{"case of a user", w.User("Amal"), ""},
		{"no names", w.Users(), ""},
	} {
		t.Run("item168 "+tc.name, func(t *testing.T) {
			if err := tc.to.Send(t.Context(), "m", 1); err != nil {
				t.Fatal(err)
			}
			if err := tc.to.TrySend("m", 2); err != nil {
				t.Fatal(err)
			}
			if err := w.All().TrySend("end"); err != nil {
				t.Fatal(err)
			}
			for name, c := range all {
				if slices.Contains(strings.Fields(tc.want), name) {
					c.expect(sent("m", "1"), sent("m", "2"))
				}
				c.expect(sent("end"))
			}
			if n := len(strings.Fields(tc.want)); tc.to.Len() != n || len(tc.to.Conns()) != n {
				t.Errorf("%d are there", tc.to.Len())
			}
		})
	}
	t.Run("item168 others, others in group", func(t *testing.T) {
		a1.msg(`{"type":1,"invocationId":"1","target":"Shout","arguments":["hey"]}`, `{"type":1,"invocationId":"2","target":"Whisper","arguments":["x","psst"]}`)
		a1.expect(`{"type":3,"invocationId":"1"}`, `{"type":3,"invocationId":"2"}`)
		a2.expect(sent("shout", `"hey"`), sent("whisper", `"psst"`))
		b.expect(sent("shout", `"hey"`))
	})
	t.Run("point5 presence", func(t *testing.T) {
		if got := fmt.Sprint(w.All().UserIDs(), w.Group("y").UserIDs(), w.GroupNames(), connA1.Groups()); got != "[amal badr] [amal badr] [x y] [x y]" {
			t.Error(got)
		}
	})
	t.Run("item148 gone with the end", func(t *testing.T) {
		a1.nc.Close()
		w.until("end", func() bool { return w.Stats().Active == 2 })
		if got := fmt.Sprint(w.Group("x").Len(), w.Group("y").Len(), w.User("amal").Len(), connA1.Groups()); got != "1 1 1 [x y]" {
			t.Error(got)
		}
		if err := connA1.Join("x"); !errors.Is(err, ErrClosed) || w.Group("x").Len() != 1 {
			t.Error(err)
		}
		b.nc.Close()
		a2.nc.Close()
		w.gone()
		if len(w.GroupNames()) != 0 || len(w.All().UserIDs()) != 0 {
			t.Error(w.GroupNames(), w.All().UserIDs())
		}
	})
}

func TestGroups(t *testing.T) {
	w := newCrowd(t, quiet())
	c, conn := w.enter("amal")
	t.Run("item167 twice is once, and leaving what one is not in is no error", func(t *testing.T) {
		for _, err := range []error{conn.Join("g"), conn.Join("g"), w.Group("g").TrySend("in"), conn.Leave("g"), conn.Leave("g"), conn.Leave("never"), w.Group("g").TrySend("out"), w.All().TrySend("end")} {
			if err != nil {
				t.Error(err)
			}
		}
		c.expect(sent("in"), sent("end"))
	})
	t.Run("item168 empty name", func(t *testing.T) {
		if !errors.Is(conn.Join(""), ErrGroupName) || !errors.Is(conn.Leave(""), ErrGroupName) {
			t.Error("was taken")
		}
	})
	t.Run("by id", func(t *testing.T) {
		if err := w.JoinGroup(t.Context(), conn.ID(), "g"); err != nil || w.Group("g").Len() != 1 {
			t.Error(err)
		}
		if err := w.LeaveGroup(t.Context(), conn.ID(), "g"); err != nil || w.Group("g").Len() != 0 {
			t.Error(err)
		}
		if err := w.JoinGroup(t.Context(), "nobody", "g"); !errors.Is(err, ErrNoConnection) || err.Error() != "Connection 'nobody' does not exist." {
			t.Error(err)
		}
	})
	t.Run("who leaves from the middle", func(t *testing.T) {
		var conns []*Conn
		for range 5 {
			_, other := w.enter("badr")
			conns = append(conns, other)
			if err := other.Join("g"); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range []int{2, 0, 4, 1, 3} {
			if err := conns[i].Leave("g"); err != nil || slices.Contains(w.Group("g").Conns(), conns[i]) {
				t.Error(i, err)
			}
		}
		if len(w.GroupNames()) != 0 {
			t.Error(w.GroupNames())
		}
	})
}

func TestConnectionData(t *testing.T) {
	t.Run("item171 what a handler sees of its connection", func(t *testing.T) {
		opts := quiet()
		opts.KeepRequest = true
		w := newCrowd(t, opts)
		c, resp := w.raw("?access_token=amal&team=red", "Cookie", "a=b", "X-Test", "yes")
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp.Status)
		}
		c.send(hello)
		c.expect("{}")
		conn := await(t, w.met, "connection")
		r := conn.Request()
		cookie, err := r.Cookie("a")
		if err != nil || cookie.Value != "b" || r.URL.Query().Get("team") != "red" || r.Header.Get("X-Test") != "yes" {
			t.Errorf("%+v %v", r, err)
		}
		if conn.Server() != w.Server || conn.UserID() != "amal" || conn.Transport() != "WebSockets" || conn.Protocol() != "json" || conn.ID() == "" {
			t.Errorf("%+v", conn)
		}
	})
	t.Run("the request is not kept unless asked for", func(t *testing.T) {
		_, conn := newCrowd(t, quiet()).enter("amal")
		if conn.Request() != nil {
			t.Error("it is")
		}
	})
}

// item166: two broadcasts of one goroutine come to each in order.
func TestBroadcastOrder(t *testing.T) {
	w := newCrowd(t, Options{})
	var clients []*client
	for range 5 {
		c, conn := w.enter("u")
		if err := conn.Join("g"); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	go func() {
		for i := range 500 {
			if i%2 == 0 {
				_ = w.Group("g").Send(context.Background(), "n", i)
			} else {
				_ = w.All().Send(context.Background(), "n", i)
			}
		}
	}()
	for _, c := range clients {
		for i := range 500 {
			c.expect(sent("n", fmt.Sprint(i)))
		}
	}
}

// counting counts how often it is encoded.
type counting struct{ json, pack atomic.Int32 }

func (v *counting) AppendJSON(dst []byte) ([]byte, error) {
	v.json.Add(1)
	return append(dst, '1'), nil
}

func (v *counting) AppendMessagePack(dst []byte) ([]byte, error) {
	v.pack.Add(1)
	return append(dst, 1), nil
}

// onlyJSON cannot be encoded for the other protocol.
type onlyJSON struct{}

func (onlyJSON) AppendJSON(dst []byte) ([]byte, error) { return append(dst, '1'), nil }

func (onlyJSON) AppendMessagePack([]byte) ([]byte, error) { return nil, errors.New("not this one") }

func TestBroadcast(t *testing.T) {
	w := newCrowd(t, quiet())
	a, _ := w.enter("amal")
	b, _ := w.enter("badr")
	p := w.dialPack()
	await(t, w.met, "connection")
	q := w.dialPack()
	await(t, w.met, "connection")

	t.Run("item170 encoded once per protocol", func(t *testing.T) {
		var v counting
		if err := w.All().Send(t.Context(), "m", &v); err != nil {
			t.Fatal(err)
		}
		a.expect(sent("m", "1"))
		b.expect(sent("m", "1"))
		p.expect(`[1,{},null,"m",[1],[]]`)
		q.expect(`[1,{},null,"m",[1],[]]`)
		if v.json.Load() != 1 || v.pack.Load() != 1 {
			t.Errorf("%d times as JSON, %d as MessagePack", v.json.Load(), v.pack.Load())
		}
		if err := w.User("amal").Send(t.Context(), "m", &v); err != nil || v.pack.Load() != 1 {
			t.Errorf("%v: %d times as MessagePack for nobody", err, v.pack.Load())
		}
		a.expect(sent("m", "1"))
	})
	t.Run("item117 what fails for one protocol reaches those of the other", func(t *testing.T) {
		err := w.All().Send(t.Context(), "m", onlyJSON{})
		if err == nil || !strings.Contains(err.Error(), "not this one") {
			t.Error(err)
		}
		a.expect(sent("m", "1"))
		b.expect(sent("m", "1"))
		if err := w.All().Send(t.Context(), "next"); err != nil {
			t.Error(err)
		}
		p.expect(`[1,{},null,"next",[],[]]`)
	})
	t.Run("frames leave together", func(t *testing.T) {
		q.expect(`[1,{},null,"next",[],[]]`)
		one, err := NewFrame("one", "x")
		if err != nil {
			t.Fatal(err)
		}
		if err = w.All().Write(t.Context(), one, one); err != nil {
			t.Fatal(err)
		}
		if err = w.All().TryWrite(one); err != nil {
			t.Fatal(err)
		}
		first, payload, err := p.readFrame()
		if err != nil || first != finBit|opBinary || strings.Count(string(payload), "one") != 2 {
			t.Errorf("%x %q %v", first, payload, err)
		}
	})
}

// item170: a slow member does not stop the others, and is named.
func TestBroadcastSlowMember(t *testing.T) {
	w := newCrowd(t, quiet())
	_, slow := w.enter("slow")
	fast, _ := w.enter("fast")
	fill(t, slow, 0)
	pad := strings.Repeat("x", 5000) // for which there is surely no room

	err := w.All().TrySend("m", pad)
	var se *SendError
	if !errors.As(err, &se) || !errors.Is(err, ErrFull) || len(se.Full) != 1 || se.Full[0] != slow {
		t.Errorf("got %v", err)
	}
	fast.expect(sent("m", `"`+pad+`"`))

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.All().Send(ctx, "n", pad) }()
	fast.expect(sent("n", `"`+pad+`"`)) // while the send waits for the slow one
	cancel()
	if err = await(t, done, "end of the send"); !errors.Is(err, ErrFull) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err = w.Users("slow", "fast").Send(ctx, "o", pad); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	fast.expect(sent("o", `"`+pad+`"`))
	slow.Abort()
	if err = w.All().Send(t.Context(), "p", pad); err != nil {
		t.Errorf("who has gone counts: %v", err)
	}
	fast.expect(sent("p", `"`+pad+`"`))
	w.passStuck(time.Minute)
}

// BenchmarkEnd is the joining of ten groups and the end of the connection, beside no other groups and beside 100,000: it
// costs what was joined.
func BenchmarkEnd(b *testing.B) {
	for _, others := range []int{0, 100_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			s := NewServer(NewHub(), Options{Pollers: -1})
			for i := range others {
				s.groups.join(&Conn{server: s}, fmt.Sprint("other ", i))
			}
			names := make([]string, 10)
			for i := range names {
				names[i] = fmt.Sprint("group ", i)
			}
			for b.Loop() {
				c := &Conn{server: s}
				for _, name := range names {
					s.groups.join(c, name)
				}
				s.groups.end(c, c.extras())
			}
		})
	}
}

// BenchmarkBroadcast sends 100 bytes to a group of 10,000 whose sockets take everything. The figure is per member.
func BenchmarkBroadcast(b *testing.B) {
	s := NewServer(NewHub(), Options{Pollers: -1})
	const members = 10_000
	for range members {
		c := &Conn{server: s, proto: jsonProtocol{}}
		c.link, c.out.conn, c.in.conn = &stuckLink{conn: c}, c, c
		s.groups.join(c, "g")
	}
	text := strings.Repeat("x", 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Group("g").TrySend("m", text); err != nil {
			b.Fatal(err)
		}
		for _, c := range s.groups.byName["g"].members {
			c.out.advance(c.link, c.Pending())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/members, "ns/member")
}
