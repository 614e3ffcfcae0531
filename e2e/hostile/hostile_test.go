package hostile

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/attack"
)

// Bounds of the processes under attack. A node of this test holds some 60 MiB when nothing happens.
const (
	maxRSS      = 768 << 20 // of a node or a gateway, at any time
	restRSS     = 384 << 20 // more than before, once the attack has ended: large bodies may take 256 MiB, which wait for a collection
	restFiles   = 64        // more than before, once the attack has ended
	floorShort  = 5 * time.Second
	floorLong   = 250 * time.Millisecond
	spareFiles  = 16 // descriptors that an attack leaves a process
	attackFrom  = "127.0.0.66"
	badNumber   = "+967770000066"
	otherNumber = "+967770000067"
)

// field is a cluster with polite clients and what hostile ones have.
type field struct {
	*cluster
	polite      *polite
	key, device string
	rest        map[*process]usage
	baseline    phase // all undisturbed phases so far
	close       func()
}

func newField(t *testing.T) *field {
	t.Helper()
	f := &field{cluster: startCluster(t), rest: map[*process]usage{}}
	ctx, stop := context.WithCancel(context.Background())
	sampled := make(chan struct{})
	go func() { f.sample(ctx); close(sampled) }()
	f.key, f.device = f.business("Hostile"), f.token(badNumber, "hostile")
	p, done := startPolite(ctx, f.cluster)
	f.polite = p
	f.close = sync.OnceFunc(func() {
		stop()
		done()
		<-sampled
		for _, p := range f.processes() {
			_ = p.Kill() // it may be dead already
		}
	})
	t.Cleanup(f.close)
	return f
}

// victim is a target with everything that a hostile client may have.
func (f *field) victim(target *process, size int, rate float64) *attack.Victim {
	return &attack.Victim{
		URL: target.URL, From: net.ParseIP(attackFrom), APIKey: f.key, DeviceToken: f.device, DeviceID: "hostile", PhoneNumber: otherNumber,
		Inbox: f.polite.phones[0], Redis: f.redis.Do, Size: size, Rate: rate,
	}
}

// rests measures the polite clients undisturbed for a time.
func (f *field) rests(d time.Duration) {
	f.polite.begin()
	time.Sleep(d) // a measuring phase, not a wait for a condition
	quiet := f.polite.end()
	f.baseline.calls += quiet.calls
	f.baseline.answered = append(f.baseline.answered, quiet.answered...)
	f.baseline.delivered = append(f.baseline.delivered, quiet.delivered...)
	for _, p := range f.processes() {
		if _, known := f.rest[p]; !known {
			f.rest[p], _ = p.usage() // a dead process is found below
		}
		p.takePeak()
	}
}

// run attacks the targets with all attacks at once and checks what the polite clients met.
func (f *field) run(t *testing.T, attacks []attack.Attack, targets []*process, size int, rate float64, d, floor time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var group sync.WaitGroup
	var victims []*attack.Victim
	f.polite.begin()
	for _, target := range targets {
		for _, a := range attacks {
			v := f.victim(target, size, rate)
			victims = append(victims, v)
			group.Go(func() {
				if err := a.Run(ctx, v); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	during := f.polite.end()
	for i, v := range victims {
		t.Logf("%s at %s: %s", attacks[i%len(attacks)].Name, targets[i/len(attacks)].name, &v.Answers)
		for _, text := range v.Answers.Malformed() {
			t.Errorf("%s: an answer is no HTTP: %s", attacks[i%len(attacks)].Name, text)
		}
	}
	t.Logf("polite clients: %s", during)
	f.alive(t)
	f.served(t, during, floor)
	f.peaks(t)
}

// alive fails if a process has ended or has recovered from a panic.
func (f *field) alive(t *testing.T) {
	t.Helper()
	for _, p := range f.processes() {
		if p.died() {
			t.Fatalf("%s has ended with code %d: %.4000s", p.name, p.ExitCode(), tail(p.Stderr.String()))
		}
		if stack := p.stack(); stack != "" {
			t.Fatalf("%s has printed a stack: %s", p.name, stack)
		}
		text := f.metrics(p) // empty while scrapes are refused; the log has the stack then
		for _, name := range []string{"esh3ar_panics_recovered_total", "esh3ar_gateway_panics_total", "signalr_server_panics_total"} {
			if n := metric(text, name); n != 0 {
				t.Fatalf("%s has recovered from %v panics: %s", p.name, n, name)
			}
		}
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// served compares what the polite clients met with what they meet undisturbed.
func (f *field) served(t *testing.T, during *phase, floor time.Duration) {
	t.Helper()
	if len(during.refused) > 0 {
		t.Errorf("polite clients were refused: %v", during.refused)
	}
	for _, c := range []struct {
		what          string
		quiet, beside []time.Duration
	}{
		{"from a call to its 202", f.baseline.answered, during.answered},
		{"from a call to the phone", f.baseline.delivered, during.delivered},
	} {
		if got, limit := p99(c.beside), max(2*p99(c.quiet), floor); got > limit {
			t.Errorf("p99 %s is %s, want at most %s: undisturbed it is %s", c.what, got, limit, p99(c.quiet))
		}
	}
}

// peaks compares what the processes used with the bounds.
func (f *field) peaks(t *testing.T) {
	t.Helper()
	for _, p := range f.processes() {
		peak := p.takePeak()
		t.Logf("%s: at most %d MiB and %d files", p.name, peak.rss>>20, peak.files)
		if peak.rss > maxRSS {
			t.Errorf("%s took %d MiB, want at most %d MiB", p.name, peak.rss>>20, maxRSS>>20)
		}
		if peak.files > openFiles-spareFiles {
			t.Errorf("%s had %d files open of %d, want %d to spare", p.name, peak.files, openFiles, spareFiles)
		}
	}
}

// recovers waits until the processes have given back what the attack took, and everything accepted has arrived.
func (f *field) recovers(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := f.left()
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after the attack: %s", left)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// left says what is not yet as it was before the attack; empty if all is.
func (f *field) left() string {
	var left []string
	for _, p := range f.processes() {
		if p.died() {
			left = append(left, p.name+" has ended")
			continue
		}
		u, _ := p.usage() // it lives
		if rest := f.rest[p]; u.files > rest.files+restFiles {
			left = append(left, fmt.Sprintf("%s has %d files open, %d before", p.name, u.files, rest.files))
		} else if u.rss > rest.rss+restRSS {
			left = append(left, fmt.Sprintf("%s has %d MiB, %d MiB before", p.name, u.rss>>20, rest.rss>>20))
		}
	}
	// Calls of the last moments are still on their way: more than a second's worth is not.
	if missing := f.polite.missing(); len(missing) > int(time.Second/callEvery) {
		left = append(left, fmt.Sprintf("%d accepted messages have not arrived", len(missing)))
	}
	return strings.Join(left, "; ")
}

// TestHostile_Attacks_DisturbNobody is the whole suite; see the package's documentation.
func TestHostile_Attacks_DisturbNobody(t *testing.T) {
	if *long {
		runLong(t)
		return
	}
	runShort(t)
}

// runLong runs one attack after the other against a node and against the gateway.
func runLong(t *testing.T) {
	f := newField(t)
	f.rests(5 * time.Second)
	for _, a := range attack.All() {
		if *only != "" && a.Name != *only {
			continue
		}
		for _, target := range []*process{f.nodes[0], f.gateway} {
			if a.Direct && target == f.gateway {
				continue
			}
			t.Run(a.Name+" at "+target.name, func(t *testing.T) {
				f.run(t, []attack.Attack{a}, []*process{target}, 2*openFiles, 1, *attackFor, floorLong)
				f.recovers(t)
				f.rests(*attackFor / 3)
			})
			if f.dead() {
				f.close()
				f = newField(t)
				f.rests(5 * time.Second)
			}
		}
	}
	f.nothingLost(t)
}

func (f *field) dead() bool {
	for _, p := range f.processes() {
		if p.died() || p.stack() != "" {
			return true
		}
	}
	return false
}

// group is some attacks at once.
type group struct {
	name    string
	size    int  // connections of each attack that holds them
	gateway bool // at the gateway too, not only at a node
	attacks []string
}

// groups are the attacks of the short form. Connections that do not read stay open the longest, so they come first: the test waits for
// their end once, behind all groups.
var groups = []group{
	{"strangers that do not read", 40, true, []string{"unread pages", "unread small answers", "metrics scrapes", "unread metrics"}},
	{"strangers without HTTP", 50, true, []string{
		"malformed heads", "half-closed callers", "resets in the middle", "TLS and HTTP/2 at a plain port",
	}},
	{"strangers with made-up credentials", 50, true, []string{
		"made-up API keys", "made-up device tokens", "made-up connection tokens", "negotiate without a token",
	}},
	{"strangers that hold connections", 250, true, []string{
		"idle after a request", "idle from the start", "idle after a 401", "slow head", "slow bodies",
	}},
	{"strangers that hold bodies", 40, true, []string{"announced bodies", "large unfinished bodies", "endless chunks"}},
	{"phones with odd frames", 20, false, []string{
		"bytes after the upgrade", "bytes behind the upgrade request", "frames of 2^63", "random frames",
	}},
	{"phones that hold connections", 200, false, []string{
		"unfinished handshakes", "unfinished messages", "fragments without end", "connections of one token", "never a ping",
	}},
	{"phones that ask too much", 20, false, []string{
		"acknowledgement flood", "acknowledgements of one id", "unread Sync results", "Sync walks",
	}},
	{"businesses that flood", 20, true, []string{"urgent flood to one inbox", "batch flood to one inbox"}},
	{"businesses that read everything", 50, true, []string{"event replays", "unread event streams", "list walks"}},
	{"businesses that hold", 100, false, []string{"unfinished batches", "business hub connections"}},
	{"neighbours at Redis", 20, true, []string{"made-up nodes in the registry", "garbage in the channels", "keys of another type"}},
	{"phones with odd messages", 50, false, []string{
		"hub messages", "MessagePack", "invocation ids", "ping flood", "reconnects",
	}},
	{"phones with odd transports", 50, true, []string{
		"negotiate with a token", "long polls", "unread event stream of a hub", "large posts to a hub",
	}},
	{"businesses with odd calls", 50, true, []string{
		"idempotency keys", "one idempotency key", "control characters", "deep and odd JSON", "pipelined calls, answers unread", "callers that leave",
	}},
}

// runShort runs groups of attacks against a node, or against a node and the gateway.
func runShort(t *testing.T) {
	f := newField(t)
	f.rests(time.Second)
	for _, g := range groups {
		targets := []*process{f.nodes[0]}
		if g.gateway {
			targets = append(targets, f.gateway)
		}
		t.Run(g.name, func(t *testing.T) {
			f.run(t, attack.Named(g.attacks...), targets, g.size, shortRate, shortAttack, floorShort)
			f.rests(shortAttack / 4)
		})
		if f.dead() {
			return
		}
	}
	f.recovers(t)
	f.nothingLost(t)
}

// The short form shares its processors with other tests.
const (
	shortAttack = 2 * time.Second
	shortRate   = 0.1
)

// nothingLost waits until everything accepted has arrived.
func (f *field) nothingLost(t *testing.T) {
	t.Helper()
	f.polite.pauseCalls()
	f.await("all accepted messages arrive", func() bool { return len(f.polite.missing()) == 0 })
}
