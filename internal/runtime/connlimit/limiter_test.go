package connlimit_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// fixture is a Limiter with a manual clock. Its connections record that they were asked to end.
type fixture struct {
	t       *testing.T
	limiter *connlimit.Limiter
	now     time.Time
	prompt  bool // connections release their slot when they are asked to end
}

type end struct {
	*connlimit.Conn
	ended bool
}

func newFixture(t *testing.T, o connlimit.Options) *fixture {
	t.Helper()
	r := &fixture{t: t, now: time.Unix(1e9, 0)}
	o.Now = func() time.Time { return r.now }
	r.limiter = connlimit.New(o)
	return r
}

// open advances the clock by a second and opens a connection; it returns nil if the connection was refused.
func (f *fixture) open(from string) *end {
	f.t.Helper()
	f.now = f.now.Add(time.Second)
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(from, "1"))
	if err != nil {
		f.t.Fatal(err)
	}
	e := &end{}
	if e.Conn = f.limiter.Admit(addr, func() {
		e.ended = true
		if f.prompt {
			e.Release()
		}
	}); e.Conn == nil {
		return nil
	}
	return e
}

// touch advances the clock by a second and starts a request on a connection.
func (f *fixture) touch(e *end) {
	f.now = f.now.Add(time.Second)
	e.Touch()
}

func (f *fixture) wantOpen(open, unauthenticated int) {
	f.t.Helper()
	s := f.limiter.Stats()
	if s.Open != open || s.Unauthenticated != unauthenticated {
		f.t.Errorf("open %d, unauthenticated %d; want %d, %d", s.Open, s.Unauthenticated, open, unauthenticated)
	}
}

func business(n int) connlimit.Owner {
	return connlimit.Owner{Kind: connlimit.Business, ID: fmt.Sprint(n)}
}

func TestLimiter_UnauthenticatedFull_ClosesLongestIdle(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 100, Unauthenticated: 3, PerAddress: 100})
	first, second, third := r.open("10.0.0.1"), r.open("10.0.0.2"), r.open("10.0.0.3")
	r.touch(first)
	r.open("10.0.0.4")
	if first.ended || !second.ended || third.ended {
		t.Errorf("ended: %t %t %t, want only the second", first.ended, second.ended, third.ended)
	}
	r.wantOpen(4, 3)
	second.Release()
	r.wantOpen(3, 3)
	if got := r.limiter.Stats().Closed[connlimit.ReasonTotal]; got != 1 {
		t.Errorf("closed %d, want 1", got)
	}
}

func TestLimiter_AuthenticatedConnection_IsNotClosed(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 100, Unauthenticated: 2, PerAddress: 100})
	customer := r.open("10.0.0.1")
	if !customer.Authenticated(business(1)) {
		t.Fatal("the first connection of a business was not authenticated")
	}
	for range 50 {
		r.open("10.0.0.2")
	}
	if customer.ended {
		t.Error("a flood of unauthenticated connections closed an authenticated one")
	}
}

func TestLimiter_AddressFull_ClosesItsOwnLongestIdle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, other, apart string // one and other count as one address
	}{
		"IPv4":        {"10.0.0.1", "10.0.0.1", "10.0.0.2"},
		"IPv6 /64":    {"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"},
		"mapped IPv4": {"10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.2"},
	} {
		r := newFixture(t, connlimit.Options{Connections: 100, Unauthenticated: 50, PerAddress: 2})
		apart, first, second := r.open(c.apart), r.open(c.one), r.open(c.other)
		r.touch(first)
		r.open(c.one)
		if apart.ended || first.ended || !second.ended {
			t.Errorf("%s: ended: %t %t %t, want only the last", name, apart.ended, first.ended, second.ended)
		}
	}
}

func TestLimiter_TrustedProxy_HasNoLimitPerAddressOrOwner(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{
		Connections: 100, Unauthenticated: 50, PerAddress: 2, PerBusiness: 1, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	for i := range 20 {
		e := r.open("127.0.0.1")
		if !e.Authenticated(business(1)) {
			t.Fatalf("connection %d of a proxy was not authenticated", i)
		}
	}
	for range 20 {
		r.open("127.0.0.1")
	}
	r.wantOpen(40, 20)
}

func TestLimiter_OwnerOverShare_StaysUnauthenticated(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 1000, Unauthenticated: 3, PerAddress: 100, PerBusiness: 2, PerDevice: 1})
	first := r.open("10.0.0.1")
	for i, want := range []bool{true, true, false} {
		e := first
		if i > 0 {
			e = r.open("10.0.0.1")
		}
		if got := e.Authenticated(business(1)); got != want {
			t.Errorf("connection %d of a business with room for 2: authenticated %t, want %t", i, got, want)
		}
	}
	phone := connlimit.Owner{Kind: connlimit.Device, ID: "1"}
	if !r.open("10.0.0.2").Authenticated(phone) || r.open("10.0.0.2").Authenticated(phone) {
		t.Error("want one authenticated connection of a phone, and no second one")
	}
	if !r.open("10.0.0.3").Authenticated(business(2)) {
		t.Error("a business has no room because another has used its share")
	}
	first.Release()
	late := r.open("10.0.0.1")
	if !late.Authenticated(business(1)) {
		t.Error("a share is not given back when a connection ends")
	}
	if got := r.limiter.Stats().OverShare; got != 2 {
		t.Errorf("over share %d, want 2", got)
	}
}

// TestLimiter_OverShare_RetriesLater checks that a connection beyond its owner's limit is authenticated once there is room,
// but does not try again for each request.
func TestLimiter_OverShare_RetriesLater(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 1000, PerBusiness: 1})
	first, second := r.open("10.0.0.1"), r.open("10.0.0.1")
	first.Authenticated(business(1))
	if second.Authenticated(business(1)) {
		t.Fatal("a business has more than its share")
	}
	first.Release()
	if second.Authenticated(business(1)) {
		t.Error("authenticated again within the retry interval")
	}
	r.now = r.now.Add(2 * time.Second)
	if !second.Authenticated(business(1)) {
		t.Error("not authenticated after the retry interval")
	}
}

// TestLimiter_AuthenticatedFull_LeavesRoomForNewcomers opens and authenticates more connections than the limit.
func TestLimiter_AuthenticatedFull_LeavesRoomForNewcomers(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 64, Unauthenticated: 32, PerAddress: 100, PerBusiness: 1})
	r.prompt = true
	for i := range 200 {
		e := r.open("10.0.0.1")
		if e == nil {
			t.Fatalf("connection %d was refused", i)
		}
		e.Authenticated(business(i))
		r.wantEnded(e, false)
	}
	r.wantOpen(64, 4)
}

func (f *fixture) wantEnded(e *end, want bool) {
	f.t.Helper()
	if e.ended != want {
		f.t.Errorf("ended %t, want %t", e.ended, want)
	}
}

// TestLimiter_ClosedConnectionsLinger_RefusesNewcomers checks the bound on connections that were asked to end and still hold
// their descriptor.
func TestLimiter_ClosedConnectionsLinger_RefusesNewcomers(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 32, Unauthenticated: 8, PerAddress: 100})
	var all []*end
	for range 1000 {
		if e := r.open("10.0.0.1"); e != nil {
			all = append(all, e)
		}
	}
	s := r.limiter.Stats()
	if s.Open > 64 || s.Refused == 0 {
		t.Errorf("open %d, refused %d; want at most 64, some", s.Open, s.Refused)
	}
	for _, e := range all {
		e.Release()
		e.Release() // only the first counts
	}
	r.wantOpen(0, 0)
	if r.open("10.0.0.1") == nil {
		t.Error("refused with all gone")
	}
}

func TestLimiter_NoLimit_AdmitsAll(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{})
	for range 100 {
		e := r.open("10.0.0.1")
		if e == nil {
			t.Fatal("refused without a limit")
		}
		defer r.wantEnded(e, false)
	}
}

func TestConn_Nil_DoesNothing(t *testing.T) {
	t.Parallel()
	connlimit.Touch(t.Context())
	connlimit.Authenticated(t.Context(), business(1))
	if connlimit.FromContext(t.Context()) != nil {
		t.Error("a context without a connection has one")
	}
}

// TestConn_Authenticated_AllocatesNothing checks the calls that every request makes.
func TestConn_Authenticated_AllocatesNothing(t *testing.T) {
	r := newFixture(t, connlimit.Options{Connections: 10})
	e := r.open("10.0.0.1")
	ctx := connlimit.WithConn(t.Context(), e.Conn)
	if got := testing.AllocsPerRun(100, func() {
		connlimit.Touch(ctx)
		connlimit.Authenticated(ctx, connlimit.Owner{})
	}); got != 0 {
		t.Errorf("%g allocations, want 0", got)
	}
}

func TestBudget_Files_AreDivided(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files                int
		node, store, gateway int
	}{
		{0, 0, 0, 0},
		{96, 32, 40, 32},
		{256, 192, 40, 128},
		{1024, 896, 80, 512},
		{20_000, 18_464, 960, 10_000},
		{1 << 20, 1<<20 - 1536, 960, 1 << 19},
	} {
		n, g := connlimit.NodeBudget(c.files), connlimit.GatewayBudget(c.files)
		if n.Connections != c.node || n.StoreFiles() != c.store || g.Connections != c.gateway {
			t.Errorf("%d files: node %d, store %d, gateway %d; want %d, %d, %d",
				c.files, n.Connections, n.StoreFiles(), g.Connections, c.node, c.store, c.gateway)
		}
	}
}

// TestLimiter_ServedConnection_IsClosedLast: a connection whose request waits for this process outlasts ones that wait for their peers,
// however long it waits; once all are served, the one that waits longest goes.
func TestLimiter_ServedConnection_IsClosedLast(t *testing.T) {
	t.Parallel()
	for name, perAddress := range map[string]int{"total": 100, "address": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, connlimit.Options{Connections: 100, Unauthenticated: 3, PerAddress: perAddress})
			served, second, third := r.open("10.0.0.1"), r.open("10.0.0.1"), r.open("10.0.0.1")
			served.BeginService()
			fourth := r.open("10.0.0.1")
			fifth := r.open("10.0.0.1")
			if served.ended || !second.ended || !third.ended || fourth.ended || fifth.ended {
				t.Errorf("ended: %t %t %t %t %t, want the second and third", served.ended, second.ended, third.ended, fourth.ended, fifth.ended)
			}
			served.EndService()
			r.open("10.0.0.1")
			if served.ended || !fourth.ended {
				t.Errorf("just answered: ended %t, one that is idle for longer: %t; want the latter only", served.ended, fourth.ended)
			}
		})
	}
}

// TestLimiter_AllServed_ClosesOne: connections that are all being served do not keep the limiter from making room.
func TestLimiter_AllServed_ClosesOne(t *testing.T) {
	t.Parallel()
	r := newFixture(t, connlimit.Options{Connections: 100, Unauthenticated: 3, PerAddress: 100})
	ended := 0
	var all []*end
	for range 6 {
		e := r.open("10.0.0.1")
		if e == nil {
			t.Fatal("got no connection, want one")
		}
		e.BeginService()
		all = append(all, e)
	}
	for _, e := range all {
		if e.ended {
			ended++
		}
	}
	if ended != 3 {
		t.Errorf("ended: got %d, want 3", ended)
	}
}
