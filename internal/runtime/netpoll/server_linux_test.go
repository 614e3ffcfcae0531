package netpoll

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// serve runs an http.Server on the fixture's listener.
func (r *fixture) serve(h http.Handler) (url string, stop func()) {
	s := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- s.Serve(r.listener) }()
	return "http://" + r.listener.Addr().String(), func() {
		if err := s.Shutdown(context.Background()); err != nil {
			r.t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			r.t.Error(err)
		}
	}
}

func echo(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // half of an answer fails the test
	_, _ = w.Write(body)
}

// TestListener_HTTPServer_ServesManyClients sends small and large bodies on keep-alive connections. The shutdown closes idle
// ones.
func TestListener_HTTPServer_ServesManyClients(t *testing.T) {
	r := newFixture(t)
	url, stop := r.serve(http.HandlerFunc(echo))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for j := range 50 {
				body := strings.Repeat(fmt.Sprint(i, " ", j, " "), 1+j*j*20)
				resp, err := client.Post(url, "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != body {
					t.Errorf("caller %d, call %d: %d bytes for %d, %v", i, j, len(got), len(body), err)
				}
			}
		})
	}
	callers.Wait()
	stop()
	waitFor(t, func() bool {
		r.poller.mu.Lock()
		defer r.poller.mu.Unlock()
		return len(r.poller.free) == len(r.poller.conns)
	})
	client.CloseIdleConnections()
}

// TestListener_PipelinedRequests_AnsweredInOrder sends all requests at once: no read may wait for an event that was consumed.
func TestListener_PipelinedRequests_AnsweredInOrder(t *testing.T) {
	r := newFixture(t)
	_, stop := r.serve(http.HandlerFunc(echo))
	defer stop()
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const many = 100
	for i := range many {
		body := fmt.Sprint("number ", i)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	answers := bufio.NewReader(c)
	for i := range many {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := fmt.Sprint("number ", i); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
}

// TestListener_ClientDisconnects_CancelsRequest relies on the background read of net/http.
func TestListener_ClientDisconnects_CancelsRequest(t *testing.T) {
	r := newFixture(t)
	entered, left := make(chan struct{}), make(chan error, 1)
	_, stop := r.serve(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(entered)
		<-req.Context().Done()
		left <- req.Context().Err()
	}))
	defer stop()
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r.write(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	_ = c.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestListener_Closed_EndsAccept(t *testing.T) {
	r := newFixture(t)
	accepts := inBackground(func() error { _, err := r.listener.Accept(); return err })
	if err := r.listener.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepts; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
