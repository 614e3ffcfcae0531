package signalr

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The benchmarks count what the server's process pays, so the clients live in a process of their own: this test binary,
// started again with swarmEnv set to "address count".
const swarmEnv = "SIGNALR_TEST_SWARM"

const benchConnections = 2000

// swarm opens connections, says so, and swallows what comes until its standard input ends.
func swarm(arg string) {
	addr, count, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	buf := make([]byte, 4<<10)
	for range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			panic(err)
		}
		req := "GET /hub HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer user\r\n\r\n"
		if _, err = io.WriteString(nc, req); err != nil {
			panic(err)
		}
		until := func(end string) {
			for got := ""; !strings.HasSuffix(got, end); {
				k, err := nc.Read(buf)
				if err != nil {
					panic(err)
				}
				got += string(buf[:k])
			}
		}
		until("\r\n\r\n")
		if _, err = nc.Write(maskedFrame(finBit|opText, []byte(hello+`{"type":6}`+"\x1e"))); err != nil {
			panic(err)
		}
		until("{}\x1e")
		go func() { _, _ = io.Copy(io.Discard, nc) }()
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

type benchServer struct {
	*Server
	conns []*Conn
	rss   int64 // added by the connections, in bytes
}

func benchmarkServer(b *testing.B, opts Options) *benchServer {
	b.Helper()
	hub := NewHub()
	opts.Authenticate = func(r *http.Request) (Identity, error) {
		return Identity{UserID: strings.Clone(BearerToken(r)), Expires: time.Now().Add(time.Hour)}, nil
	}
	s := NewServer(hub, opts)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(ln) }()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	before := residentSet(b)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), swarmEnv+"="+ln.Addr().String()+" "+strconv.Itoa(benchConnections))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err = io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
		cancel()
		<-done
		web.Close()
	})
	bs := &benchServer{Server: s, conns: s.registry.appendAll(nil)}
	if len(bs.conns) != benchConnections {
		b.Fatalf("%d connections", len(bs.conns))
	}
	bs.rss = residentSet(b) - before
	return bs
}

// residentSet returns the process's resident set once garbage and free memory have gone back.
func residentSet(b *testing.B) int64 {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("needs /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchEngines(b *testing.B, f func(b *testing.B, s *benchServer)) {
	for _, engine := range []struct {
		name    string
		pollers int
	}{{"poller", 0}, {"goroutines", -1}} {
		b.Run(engine.name, func(b *testing.B) {
			s := benchmarkServer(b, Options{Pollers: engine.pollers, Timeouts: Timeouts{Heartbeat: time.Hour}})
			b.ResetTimer()
			f(b, s)
		})
	}
}

// BenchmarkIdle reports the resident memory that an idle, authenticated connection adds. The time is that of one
// heartbeat over all of them.
func BenchmarkIdle(b *testing.B) {
	benchEngines(b, func(b *testing.B, s *benchServer) {
		for b.Loop() {
			s.beat(s.time())
		}
		b.ReportMetric(float64(s.rss)/benchConnections, "B/conn")
	})
}

// BenchmarkPush reports the CPU time, of all threads and the kernel, to push 300 bytes to a connection; Four pushes four
// such frames in one write.
func BenchmarkPush(b *testing.B) {
	frame := JSONFrame(AppendInvocation(nil, "ReceiveMessage", json.RawMessage(`{"c":"`+strings.Repeat("x", 240)+`"}`)))
	frames := []Frame{frame, frame, frame, frame}
	for _, n := range []int{1, 4} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			benchEngines(b, func(b *testing.B, s *benchServer) {
				b.ReportAllocs()
				from := cpuTime(b)
				for i := 0; b.Loop(); i++ {
					if i%benchConnections == 0 {
						s.settle() // else an engine that hands writes over would gather frames that nobody gathers in life
					}
					if err := s.conns[i%benchConnections].TryWrite(frames[:n]...); err != nil {
						b.Fatal(err)
					}
				}
				s.settle()
				b.ReportMetric(float64(cpuTime(b)-from)/float64(b.N)/float64(n), "cpu-ns/frame")
			})
		})
	}
}

// settle waits until everything is written.
func (s *benchServer) settle() {
	for _, c := range s.conns {
		for c.Pending() > 0 {
			runtime.Gosched()
		}
	}
}

// BenchmarkParse is the cost of one acknowledgement on its way in, without the socket.
func BenchmarkParse(b *testing.B) {
	record := []byte(`{"type":1,"target":"AcknowledgeMessage","arguments":["0193f0a2-7c1e-7d3a-9f5e-2b1c4d6e8f90"],"invocationId":"42"}`)
	var m message
	b.ReportAllocs()
	for b.Loop() {
		if err := (jsonProtocol{}).parse(record, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInvoke is a round trip: a client's call, its handler, and the completion.
func BenchmarkInvoke(b *testing.B) {
	hub := NewHub()
	Handle1(hub, "Echo", func(_ *Call, s string) (string, error) { return s, nil })
	s := NewServer(hub, Options{Pollers: -1})
	c := &Conn{server: s, id: "id"}
	l := &stuckLink{conn: c}
	c.link, c.in.conn, c.out.conn = l, c, c
	c.in.receive([]byte(hello))
	c.out.advance(l, c.Pending())
	ask, _ := echo(1)
	in := []byte(ask + "\x1e")
	b.ReportAllocs()
	for b.Loop() {
		c.in.receive(in)
		for c.Pending() == 0 {
			runtime.Gosched()
		}
		c.out.advance(l, c.Pending())
	}
	s.spawned.Wait()
}
