package netpoll

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPoller_ProcessorsBusy_ReadsBeforeRuntime keeps all processors busy and counts the turns of the busy goroutines between a
// write and its read. There must be far fewer than with the runtime's poller.
func TestPoller_ProcessorsBusy_ReadsBeforeRuntime(t *testing.T) {
	r := newFixture(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var turns atomic.Int64
	var busy sync.WaitGroup
	stop := make(chan struct{})
	for range 50 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for began := time.Now(); time.Since(began) < 10*time.Microsecond; { // a turn
				}
				turns.Add(1)
				runtime.Gosched()
			}
		})
	}
	defer busy.Wait()
	defer close(stop)
	server, client := turnsUntilRead(t, r.listener, &turns), turnsUntilRead(t, plain, &turns)
	t.Logf("median: %d turns, and %d with the runtime's poller", server, client)
	if server*2 > client {
		t.Errorf("got a median of %d turns, and %d with the runtime's poller; want at most half", server, client)
	}
}

// turnsUntilRead returns the median number of turns between a write and its read.
func turnsUntilRead(t *testing.T, l net.Listener, turns *atomic.Int64) int64 {
	t.Helper()
	const words = 101
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	reader, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer := <-dialed
	defer writer.Close()
	read, heard := make(chan int64), make([]int64, 0, words)
	go func() {
		defer close(read)
		b := make([]byte, 1)
		for range words {
			if _, err := io.ReadFull(reader, b); err != nil {
				t.Error(err)
				return
			}
			read <- turns.Load()
		}
	}()
	for range words {
		said := turns.Load()
		if _, err := writer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		heard = append(heard, <-read-said)
	}
	slices.Sort(heard)
	return heard[words/2]
}
