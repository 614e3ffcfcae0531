package conformance

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// fixture is what the clients connect to: one server on loopback with the test hub behind every kind of door.
type fixture struct {
	t       *testing.T
	mux     *http.ServeMux
	url     string
	revoked sync.Map // tokens that are good no more
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{t: t, mux: http.NewServeMux()}
	web := httptest.NewServer(w.mux)
	t.Cleanup(web.Close)
	w.url = web.URL
	w.doors()
	w.steering()
	return w
}

// doors mounts the hubs.
func (w *fixture) doors() {
	w.serve("/hub", testHub(), signalr.Options{})
	w.serve("/detailed", testHub(), signalr.Options{DetailedErrors: true})
	w.serve("/auth", testHub(), signalr.Options{Authenticate: w.authenticate})
	w.serve("/moved", testHub(), signalr.Options{OnNegotiate: func(*http.Request, signalr.Identity) (signalr.Redirect, error) {
		return signalr.Redirect{URL: w.url + "/auth", AccessToken: "good-redirected"}, nil
	}})
	w.serve("/refused", testHub(), signalr.Options{OnNegotiate: func(*http.Request, signalr.Identity) (signalr.Redirect, error) {
		return signalr.Redirect{}, signalr.Errorf("not today")
	}})
	// A machine with too much to do acknowledges late.
	w.serve("/stateful", testHub(), signalr.Options{StatefulReconnect: true, Timeouts: signalr.Timeouts{Acknowledge: time.Minute}})
	closed := testHub()
	closed.OnConnected = func(*signalr.Conn) error { return errors.New("full house") }
	w.serve("/closed", closed, signalr.Options{})
	w.serve("/quick", testHub(), signalr.Options{Timeouts: signalr.Timeouts{KeepAlive: 100 * time.Millisecond, Heartbeat: 50 * time.Millisecond}})
	w.start(testHub(), signalr.Options{}).Mount(w.mux, "/own") // of the pages of its own origin
	w.mount("/more", saysMore(w.start(testHub(), signalr.Options{AllowOrigin: signalr.AnyOrigin})))
	sticky := w.start(testHub(), signalr.Options{AllowOrigin: signalr.AnyOrigin})
	w.mount("/sticky", needsCookie(sticky))
	w.mux.HandleFunc("/temporary/", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, w.url+strings.TrimPrefix(r.URL.String(), "/temporary"), http.StatusTemporaryRedirect)
	})
}

// start runs a server until the test's end.
func (w *fixture) start(hub *signalr.Hub, opts signalr.Options) *signalr.Server {
	w.t.Helper()
	if opts.OnPanic == nil {
		opts.OnPanic = func(p signalr.Panic) {
			if p.Value != "secret" { // what handlers of tests panic with
				w.t.Errorf("recovered panic in %s: %v\n%s", p.Where, p.Value, p.Stack)
			}
		}
	}
	s := signalr.NewServer(hub, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := await(w.t, done, "end of Run"); err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
	return s
}

func (w *fixture) serve(path string, hub *signalr.Hub, opts signalr.Options) *signalr.Server {
	w.t.Helper()
	opts.AllowOrigin = signalr.AnyOrigin
	s := w.start(hub, opts)
	s.Mount(w.mux, path)
	return s
}

// mount is Server.Mount for a server behind middleware.
func (w *fixture) mount(path string, h http.Handler) {
	w.mux.Handle(path, h)
	w.mux.Handle(path+"/", h)
}

// authenticate takes tokens "good-NAME…" that were not revoked. The user is NAME.
func (w *fixture) authenticate(r *http.Request) (signalr.Identity, error) {
	token := signalr.BearerToken(r)
	name, good := strings.CutPrefix(token, "good-")
	if _, revoked := w.revoked.Load(token); revoked || !good {
		return signalr.Identity{}, errors.New("no good token")
	}
	name, _, _ = strings.Cut(name, "-")
	return signalr.Identity{UserID: name}, nil
}

// needsCookie sets a cookie at negotiate and refuses other requests without it, as a load balancer with sticky sessions does.
func needsCookie(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/negotiate") {
			http.SetCookie(w, &http.Cookie{Name: "node", Value: "seven", Path: "/"})
		} else if c, err := r.Cookie("node"); r.Method != http.MethodOptions && (err != nil || c.Value != "seven") {
			http.Error(w, "wrong node", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// saysMore adds to the reply of negotiate what no client knows, as a newer server might.
func saysMore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/negotiate") {
			next.ServeHTTP(w, r)
			return
		}
		reply := httptest.NewRecorder()
		next.ServeHTTP(reply, r)
		maps.Copy(w.Header(), reply.Header())
		w.Header().Del("Content-Length")
		_, _ = io.WriteString(w, `{"tokenLifetimeSeconds":60,"more":{"of":["it"]},`+strings.TrimPrefix(reply.Body.String(), "{")) // the client has gone
	})
}

// steering lets the clients move what lies outside their connection.
func (w *fixture) steering() {
	roads := newLinks(w.t, strings.TrimPrefix(w.url, "http://"))
	w.mux.HandleFunc("POST /control/road", roads.open)
	w.mux.HandleFunc("POST /control/cut", roads.cut)
	w.mux.HandleFunc("POST /control/revoke", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		w.revoked.Store(r.URL.Query().Get("token"), true)
	})
}
