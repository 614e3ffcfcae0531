package e2e

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// fragile is a proxy that breaks all connections once, after a number of bytes from the server.
type fragile struct {
	net.Listener
	server string
	told   atomic.Int64 // bytes
	breaks atomic.Int64 // after so many; zero: never
	round  atomic.Int64 // counts the breaks
}

func (f *fragile) serve() {
	for {
		client, err := f.Accept()
		if err != nil {
			return
		}
		go f.lead(client) // ends with the connections
	}
}

func (f *fragile) lead(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", f.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }() // until one of them is closed
	round := f.round.Load()
	for buffer := make([]byte, 64); round == f.round.Load(); {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if at := f.breaks.Load(); f.told.Add(int64(n)) >= at && at > 0 && f.breaks.CompareAndSwap(at, 0) {
			f.round.Add(1)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestStart_DatabaseConnectionCut_Continues cuts the connection at every point of the start: a node waits for its
// database in each step.
func TestStart_DatabaseConnectionCut_Continues(t *testing.T) {
	t.Parallel()
	server := database(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f := &fragile{Listener: listener, server: server.Addr}
	go f.serve()
	url := strings.Replace(server.URL("postgres"), server.Addr, listener.Addr().String(), 1)
	p := start(t, "--database-url", url)
	alone := func() (bytes int64) {
		f.told.Store(0)
		node := p.join()
		bytes = f.told.Load()
		if err := node.node.Kill(); err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	bytes := alone()
	const points = 12
	for point := range int64(points) {
		for f.round.Load() == point { // the start was over before: a quicker one has less to say, as nothing of its later life comes in between
			f.breaks.Store(1 + bytes*point/points)
			bytes = min(bytes, alone())
		}
	}
	p.start()
	if m := p.send(alice, "all is well", "normal"); m.Seq != 1 {
		t.Errorf("sent as %d", m.Seq)
	}
}
