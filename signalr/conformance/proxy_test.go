package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// links are roads to the world that can be cut: each is an address whose connections end when a client asks for it, as
// those of a phone do that changes its network.
type links struct {
	t     *testing.T
	to    string // address of the world
	mu    sync.Mutex
	roads map[string]*road // by address
	work  sync.WaitGroup
}

type road struct {
	ln    net.Listener
	conns []net.Conn
}

func newLinks(t *testing.T, to string) *links {
	l := &links{t: t, to: to, roads: make(map[string]*road)}
	t.Cleanup(l.close)
	return l
}

// open makes a road and answers its URL.
func (l *links) open(w http.ResponseWriter, _ *http.Request) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r := &road{ln: ln}
	l.mu.Lock()
	l.roads[ln.Addr().String()] = r
	l.mu.Unlock()
	l.work.Go(func() { l.serve(r) })
	w.Header().Set("Access-Control-Allow-Origin", "*")
	fmt.Fprint(w, "http://", ln.Addr())
}

// cut ends what is on a road now, and answers how many sockets that were. The road stays open for others.
func (l *links) cut(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.roads[strings.TrimPrefix(req.URL.Query().Get("road"), "http://")]
	if r == nil {
		http.NotFound(w, req)
		return
	}
	fmt.Fprint(w, len(r.conns))
	r.cutLocked()
}

func (r *road) cutLocked() {
	for _, c := range r.conns {
		_ = c.Close() // that is the cut
	}
	r.conns = nil
}

func (l *links) serve(r *road) {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return // the test is over
		}
		server, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = client.Close() // who called sees it
			continue
		}
		l.mu.Lock()
		r.conns = append(r.conns, client, server)
		l.mu.Unlock()
		l.work.Go(func() { carry(client, server) })
		l.work.Go(func() { carry(server, client) })
	}
}

// carry moves bytes until one of the two ends, which ends the other.
func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a cut is no error
	_ = to.Close()
	_ = from.Close()
}

func (l *links) close() {
	l.mu.Lock()
	for _, r := range l.roads {
		_ = r.ln.Close() // as above
		r.cutLocked()
	}
	l.mu.Unlock()
	l.work.Wait()
}
