package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// cable is a backplane between servers of one process. Like any, it carries bytes.
type cable struct {
	mu    sync.Mutex
	nodes []*Server
}

type plug struct {
	*cable
	of *Server
}

func (p *plug) others() []*Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*Server
	for _, s := range p.nodes {
		if s != p.of {
			all = append(all, s)
		}
	}
	return all
}

func (p *plug) Publish(ctx context.Context, _ Target, message []byte) error {
	for _, s := range p.others() {
		if err := s.Deliver(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

func (p *plug) Request(ctx context.Context, id string, message []byte) ([]byte, error) {
	for _, s := range p.others() {
		if s.Conn(id) != nil || id == "stale" {
			return s.Answer(ctx, message)
		}
	}
	return nil, ErrNoConnection
}

// node starts a server on the cable.
func (x *cable) node(t *testing.T) *crowd {
	p := &plug{cable: x}
	opts := quiet()
	opts.Backplane = p
	w := newCrowd(t, opts)
	p.of = w.Server
	x.mu.Lock()
	defer x.mu.Unlock()
	x.nodes = append(x.nodes, w.Server)
	return w
}

// item136
func TestBackplane(t *testing.T) {
	var x cable
	one, two := x.node(t), x.node(t)
	a, connA := one.enter("amal")
	b, connB := two.enter("badr")
	p := two.dialPack()
	connP := await(t, two.met, "connection")

	t.Run("item136 sends", func(t *testing.T) {
		if err := one.JoinGroup(t.Context(), connB.ID(), "g"); err != nil || two.Group("g").Len() != 1 {
			t.Fatal(err)
		}
		for _, err := range []error{
			one.All().Send(t.Context(), "all", map[string]any{"a": []byte{1}}),
			one.Group("g").TrySend("group", 1),
			one.User("badr").Send(t.Context(), "user"),
			one.AllExcept(connB.ID()).Send(t.Context(), "except"),
			two.Client(connA.ID()).Send(t.Context(), "client"),
			one.LeaveGroup(t.Context(), connB.ID(), "g"),
			one.Group("g").TrySend("left"),
			one.All().Send(t.Context(), "end"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		a.expect(sent("all", `{"a":"AQ=="}`), sent("except"), sent("client"), sent("end"))
		b.expect(sent("all", `{"a":"AQ=="}`), sent("group", "1"), sent("user"), sent("end"))
		p.expect(`[1,{},null,"all",[{"a":"AQ=="}],[]]`, `[1,{},null,"except",[],[]]`, `[1,{},null,"end",[],[]]`)
	})
	t.Run("item136 results, as the client has encoded them", func(t *testing.T) {
		raws := make(chan Raw, 1)
		go func() {
			raw, err := one.Client(connP.ID()).Invoke(t.Context(), "Guess", "a", []byte{7})
			if err != nil {
				t.Error(err)
			}
			raws <- raw
		}()
		p.expect(`[1,{},"s1","Guess",["a","Bw=="],[]]`)
		p.msg(`[3,{},"s1",3,{"n":300}]`)
		raw := await(t, raws, "answer")
		var v map[string]int
		if err := raw.Decode(&v); err != nil || raw.Protocol != "messagepack" || v["n"] != 300 {
			t.Errorf("%+v %v", raw, err)
		}
		n := make(chan int, 1)
		go func() { v, _ := Invoke[int](t.Context(), one.Client(connB.ID()), "Guess", "a", 1); n <- v }()
		id := b.asked("Guess")
		b.msg(`{"type":3,"invocationId":"` + id + `","result":5}`)
		if got := await(t, n, "answer"); got != 5 {
			t.Error(got)
		}
	})
	t.Run("item130 item133 errors", func(t *testing.T) {
		errs := make(chan error, 1)
		ask := func(ctx context.Context) {
			go func() { _, err := one.Client(connB.ID()).Invoke(ctx, "Guess", "a", 1); errs <- err }()
		}
		ask(t.Context())
		b.msg(`{"type":3,"invocationId":"` + b.asked("Guess") + `","error":"no idea"}`)
		var he *HubError
		if err := await(t, errs, "error"); !errors.As(err, &he) || he.Message != "no idea" {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ask(ctx)
		b.asked("Guess")
		cancel()
		if err := await(t, errs, "error"); err.Error() != "Invocation canceled by the server." {
			t.Error(err)
		}
		ask(t.Context())
		b.asked("Guess")
		b.nc.Close()
		if err := await(t, errs, "error"); err.Error() != fmt.Sprintf("Connection '%s' disconnected.", connB.ID()) {
			t.Error(err)
		}
		for _, id := range []string{"nobody", "stale"} {
			if _, err := one.Client(id).Invoke(t.Context(), "Guess"); !errors.Is(err, ErrNoConnection) || err.Error() != "Connection '"+id+"' does not exist." {
				t.Error(err)
			}
		}
		if _, err := one.All().Invoke(t.Context(), "Guess"); err == nil {
			t.Error("all were asked")
		}
	})
}

// What comes over the backplane may be of another version, or broken. It must not take the node down.
func FuzzBackplane(f *testing.F) {
	s := NewServer(NewHub(), Options{Pollers: -1})
	c := &Conn{server: s, id: "c", proto: jsonProtocol{}}
	c.link, c.out.conn, c.in.conn = &stuckLink{conn: c}, c, c
	s.registry.add(c, "", &s.opts)
	s.registry.show(c)
	f.Add([]byte{0x96, planeSend, 0, 0x90, 0x90, 0xc4, 1, '1', 0xc4, 0})
	f.Add(append(planeRequest(planeInvoke, "c", "m"), 0x91, 1))
	f.Add(planeRequest(planeJoin, "c", "g"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.Deliver(ctx, in)
		if answer, err := s.Answer(ctx, in); err == nil {
			if _, err = readPlaneAnswer("c", answer); errors.Is(err, errPlane) {
				t.Errorf("%x was answered by %x", in, answer)
			}
		}
		_, _ = readPlaneAnswer("c", in)
		c.out.advance(c.link, c.Pending())
	})
}
