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

// TestWordsAreReadInACrowd has many goroutines that always want to run, and counts how many turns they have between a word and its
// reader: as many as the runtime gives them until it looks by itself, or far fewer.
func TestWordsAreReadInACrowd(t *testing.T) {
	r := newRig(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var turns atomic.Int64
	var crowd sync.WaitGroup
	stop := make(chan struct{})
	for range 50 * runtime.GOMAXPROCS(0) {
		crowd.Go(func() {
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
	defer crowd.Wait()
	defer close(stop)
	ours, theirs := turnsToRead(t, r.listener, &turns), turnsToRead(t, plain, &turns)
	t.Logf("median: %d turns, and %d with the runtime's poller", ours, theirs)
	if ours*2 > theirs {
		t.Errorf("a word is read after %d turns of others, and after %d with the runtime's poller", ours, theirs)
	}
}

// turnsToRead is the median of how many turns lie between the writing of a word and its reading.
func turnsToRead(t *testing.T, l net.Listener, turns *atomic.Int64) int64 {
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
