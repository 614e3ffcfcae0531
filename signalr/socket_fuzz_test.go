package signalr

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// How FuzzServer_Socket sends its bytes.
const (
	fuzzRaw      = iota // on the socket, behind the upgrade
	fuzzFrames          // as the payloads of masked frames, the first byte of each line as its head
	fuzzMessages        // as text messages behind a handshake
	fuzzModes
)

// FuzzServer_Socket sends bytes through a socket to a server with handlers of each kind: before the handshake, as frames, and as hub
// messages. Nothing may panic, no goroutine or connection may be left, and the next client is served.
func FuzzServer_Socket(f *testing.F) {
	invoke := `{"type":1,"invocationId":"1","target":"Echo","arguments":[1]}` + "\x1e"
	for _, seed := range []string{
		"", hello, hello + invoke, hello + invoke + invoke, `{"protocol":"messagepack","version":1}` + "\x1e\x02\x91\x06",
		`{"type":4,"invocationId":"2","target":"Count","arguments":[3]}` + "\x1e" + `{"type":5,"invocationId":"2"}` + "\x1e",
		`{"type":1,"invocationId":"3","target":"Sum","arguments":[],"streamIds":["4"]}` + "\x1e" + `{"type":2,"invocationId":"4","item":7}` + "\x1e" + `{"type":3,"invocationId":"4"}` + "\x1e",
		`{"type":7}` + "\x1e", "\xef\xbb\xbf" + invoke, `{"type":1,"target":"Echo","arguments":[` + strings.Repeat("[", 2000),
		string(maskedFrame(finBit|opText, []byte(hello+invoke))), string(maskedFrame(opText, []byte(hello))) + string(maskedFrame(finBit|opContinuation, nil)),
		string(maskedFrame(finBit|opClose, []byte{3, 0xe8})), string(maskedFrame(finBit|opPing, []byte("x"))), "\x81\xfe\xff\xff\x00\x00\x00\x00", "\x01a\n\x00b\n\x80c\n\x89\n\x88",
	} {
		for mode := range byte(fuzzModes) {
			f.Add(mode, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		before := runtime.NumGoroutine()
		for _, pollers := range []int{1, -1} {
			fuzzSocket(t, pollers, mode%fuzzModes, data)
		}
		for deadline := time.Now().Add(testTimeout); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				stacks := make([]byte, 64<<10)
				t.Fatalf("got %d goroutines, want %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}

// fuzzSocket has a client of a new server send the bytes and read all answers, and then another one call a method.
func fuzzSocket(t *testing.T, pollers int, mode byte, data []byte) {
	hub, _ := echoHub()
	Stream1(hub, "Count", func(_ *Call, n int) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for i := 0; i < min(n, 1000) && yield(i, nil); i++ {
			}
		}, nil
	})
	Handle1(hub, "Sum", func(_ *Call, in Upload[int]) (sum int, err error) {
		for n := range in.All() {
			sum += n
		}
		return sum, nil
	})
	quick := Timeouts{Heartbeat: 10 * time.Millisecond, Close: 20 * time.Millisecond} // of clients that leave in half
	s := NewServer(hub, Options{Pollers: pollers, Timeouts: quick, OnPanic: func(p Panic) { t.Errorf("recovered panic in %s: %v\n%s", p.Where, p.Value, p.Stack) }})
	web := httptest.NewServer(s)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h := &harness{Server: s, t: t, web: web}
	c := h.open()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = c.nc.Write(fuzzedBytes(mode, data)) // the server may have closed it
		if mode != fuzzMessages {                  // what has not shaken hands would be waited for
			_ = c.nc.Close()
			return
		}
		_ = c.nc.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(io.Discard, c.r) // up to the end, or a reset
	<-wrote
	c.nc.Close()
	h.gone()
	next := h.dial()
	ask, answer := echo(1)
	next.msg(ask)
	next.expect(answer)
	next.nc.Close()
	h.gone()
	stop()
	if err := await(t, ended, "end of Run"); err != nil {
		t.Error(err)
	}
	web.Close()
	http.DefaultClient.CloseIdleConnections()
}

// fuzzedBytes are what a mode sends for data.
func fuzzedBytes(mode byte, data []byte) (sent []byte) {
	switch mode {
	case fuzzFrames:
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			if len(line) > 0 {
				sent = append(sent, maskedFrame(line[0], line[1:])...)
			}
		}
	case fuzzMessages:
		sent = append(maskedFrame(finBit|opText, []byte(hello)), maskedFrame(finBit|opText, data)...)
	default:
		sent = data
	}
	return sent
}
