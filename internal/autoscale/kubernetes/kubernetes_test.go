package kubernetes_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/autoscale/kubernetes"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a fake API server with one StatefulSet.
type cluster struct {
	t      *testing.T
	server *httptest.Server
	dir    string // directory with the credentials of the pod

	mu struct {
		sync.Mutex
		token    string
		version  int
		replicas int
		refuse   int           // status code of every response
		before   func()        // called before each response
		hang     chan struct{} // responses wait until it is closed
		calls    []string
	}
}

func newCluster(t *testing.T, replicas int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	c.mu.token = "one"
	c.mu.version = 100
	c.mu.replicas = replicas
	c.server = httptest.NewTLSServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.server.Close)
	c.write("token", "one\n")
	c.write("namespace", "prod\n")
	c.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})))
	return c
}

func (c *cluster) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) target() *kubernetes.Target {
	c.t.Helper()
	target, err := kubernetes.New(kubernetes.Options{Name: "esh3ar", Server: c.server.URL, Account: c.dir, Timeout: 10 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	return target
}

// set changes the state of the server.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	hang, before := c.mu.hang, c.mu.before
	c.mu.Unlock()
	if before != nil {
		before()
	}
	if hang != nil {
		<-hang
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.calls = append(c.mu.calls, r.Method)
	code, message := c.answer(r, body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if code != http.StatusOK {
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"code":%d}`, message, code)
		return
	}
	fmt.Fprintf(w, `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"esh3ar","namespace":"prod","resourceVersion":"%d"},"spec":{"replicas":%d},"status":{"replicas":1,"selector":"app=esh3ar"}}`,
		c.mu.version, c.mu.replicas)
}

func (c *cluster) answer(r *http.Request, body []byte) (code int, message string) {
	switch {
	case r.Header.Get("Authorization") != "Bearer "+c.mu.token:
		return http.StatusUnauthorized, "Unauthorized"
	case c.mu.refuse != 0:
		return c.mu.refuse, "no"
	case r.URL.Path != "/apis/apps/v1/namespaces/prod/statefulsets/esh3ar/scale":
		return http.StatusNotFound, "the server could not find the requested resource"
	case r.Method == http.MethodGet:
		return http.StatusOK, ""
	case r.Method != http.MethodPatch || r.Header.Get("Content-Type") != "application/merge-patch+json":
		return http.StatusUnsupportedMediaType, "not a merge patch"
	}
	var patch struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Spec struct {
			Replicas int `json:"replicas"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(body, &patch); err != nil {
		return http.StatusBadRequest, err.Error()
	}
	if patch.Metadata.ResourceVersion != strconv.Itoa(c.mu.version) {
		return http.StatusConflict, "the object has been modified; please apply your changes to the latest version and try again"
	}
	c.mu.version++
	c.mu.replicas = patch.Spec.Replicas
	return http.StatusOK, ""
}

func (c *cluster) replicas() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.replicas
}

// order returns an order whose guard always succeeds.
func order(n int) autoscale.Order {
	return autoscale.Order{Nodes: n, Token: 1, Guard: func(ctx context.Context, effect func(context.Context) error) error { return effect(ctx) }}
}

func TestTarget_FleetAndResize_UseTheScale(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	target := c.target()
	f, err := target.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Wanted != 3 || !f.OwnsAll || f.Opaque || !slices.Equal(f.RemovalOrder, []membership.NodeID{"esh3ar-2", "esh3ar-1", "esh3ar-0"}) || len(f.Own) != 3 {
		t.Errorf("%+v", f)
	}
	for _, n := range []int{5, 2} { // the second is based on the response to the first
		if err := target.Resize(t.Context(), order(n)); err != nil || c.replicas() != n {
			t.Errorf("%d replicas, want %d: %v", c.replicas(), n, err)
		}
	}
}

// TestTarget_StaleVersion_ChangesNothing changes the set between reading and changing it.
func TestTarget_StaleVersion_ChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	target := c.target()
	if _, err := target.Fleet(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.set(func() { c.mu.version++; c.mu.replicas = 7 })
	err := target.Resize(t.Context(), order(4))
	if err == nil || !strings.Contains(err.Error(), "somebody else has changed the StatefulSet") || c.replicas() != 7 {
		t.Errorf("%d replicas, %v", c.replicas(), err)
	}
	if f, err := target.Fleet(t.Context()); err != nil || f.Wanted != 7 {
		t.Errorf("%+v %v", f, err)
	}
	if err := target.Resize(t.Context(), order(8)); err != nil || c.replicas() != 8 {
		t.Errorf("after another look: %d, %v", c.replicas(), err)
	}
}

func TestTarget_LeaseLost_SendsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	target := c.target()
	if err := target.Resize(t.Context(), order(4)); err == nil || !strings.Contains(err.Error(), "not looked at") {
		t.Errorf("before a look: %v", err)
	}
	if _, err := target.Fleet(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := order(4)
	o.Guard = func(context.Context, func(context.Context) error) error { return autoscale.ErrFenced }
	if err := target.Resize(t.Context(), o); !errors.Is(err, autoscale.ErrFenced) || c.replicas() != 3 {
		t.Errorf("%d replicas, %v", c.replicas(), err)
	}
}

// noLease is a lease and a history that accept everything.
type noLease struct{}

func (noLease) Acquire(context.Context, string, time.Duration) (autoscale.Term, error) {
	return autoscale.Term{Leader: true, Holder: "a", Token: 1}, nil
}

func (noLease) Release(context.Context, autoscale.Term) error { return nil }

func (noLease) Guard(ctx context.Context, _ autoscale.Term, effect func(context.Context) error) error {
	return effect(ctx)
}

func (noLease) Load(context.Context) ([]byte, error) { return nil, nil }

func (noLease) Write(context.Context, autoscale.Term, *autoscale.Entry, []byte) error { return nil }

func (noLease) History(context.Context, int64, int) ([]autoscale.Entry, error) { return nil, nil }

// pods is a registry of idle nodes; the last has messages in its spill.
type pods struct {
	*cluster
	spilled atomic.Int64
}

func (p *pods) Nodes(context.Context) ([]membership.Node, error) {
	var nodes []membership.Node
	for i := range p.replicas() {
		nodes = append(nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("esh3ar-", i))})
	}
	nodes[len(nodes)-1].Spilled = int(p.spilled.Load())
	return nodes, nil
}

func TestTarget_PodWithSpill_IsNotRemoved(t *testing.T) {
	t.Parallel()
	p := &pods{cluster: newCluster(t, 3)}
	p.spilled.Store(7)
	const every = time.Second // a request may take as long as a round
	policy := autoscale.Default()
	policy.Min = 2
	policy.Rules[0].Window = 0
	policy.Down = autoscale.StepRules{Step: 1}
	s := autoscale.New(autoscale.Options{Policy: policy, Holder: "a", Registry: p, Target: p.target(), Lease: noLease{}, History: noLease{}, Every: every})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	await(t, "it says why nobody goes", func() bool {
		d := s.Status().Decision
		return d != nil && d.Reason == autoscale.Spilled && strings.Contains(d.Why, "esh3ar-2 has 7 accepted messages")
	})
	if p.replicas() != 3 {
		t.Errorf("%d replicas", p.replicas())
	}
	p.spilled.Store(0)
	await(t, "the pod goes", func() bool { return p.replicas() == 2 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

func TestTarget_TokenReplaced_RetriesWithNewToken(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	target := c.target()
	var once sync.Once
	c.set(func() {
		c.mu.before = func() {
			once.Do(func() { c.write("token", "two"); c.set(func() { c.mu.token = "two" }) })
		}
	})
	if f, err := target.Fleet(t.Context()); err != nil || f.Wanted != 3 {
		t.Errorf("%+v %v", f, err)
	}
	if calls := c.mu.calls; len(calls) != 2 {
		t.Errorf("calls: %v", calls)
	}
}

func TestTarget_Refusals_NameTheRemedy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		change func(c *cluster)
		want   string
	}{
		"token":     {func(c *cluster) { c.mu.token = "another" }, "it does not take the token in"},
		"rights":    {func(c *cluster) { c.mu.refuse = 403 }, "give the service account the verbs get and patch on statefulsets/scale in prod"},
		"name":      {func(c *cluster) { c.mu.refuse = 404 }, "is there a StatefulSet esh3ar in prod?"},
		"trouble":   {func(c *cluster) { c.mu.refuse = 500 }, "answers 500 Internal Server Error: no"},
		"no token":  {func(c *cluster) { _ = os.Remove(filepath.Join(c.dir, "token")) }, "service account"},
		"not there": {func(c *cluster) { c.server.Close() }, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			target := c.target()
			one.change(c)
			if _, err := target.Fleet(t.Context()); err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("%v, want %q", err, one.want)
			}
		})
	}
}

func TestTarget_ServerHangs_TimesOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	hang := make(chan struct{})
	c.set(func() { c.mu.hang = hang })
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.target().Fleet(ctx); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}

func TestTarget_ForeignCertificate_IsRejected(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the error of the failed handshake
	c.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority(t)})))
	if _, err := c.target().Fleet(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// authority returns a certificate that has signed nothing.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestNew_InvalidOptions_Fail(t *testing.T) {
	c := newCluster(t, 1)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for want, o := range map[string]kubernetes.Options{
		"no name":               {},
		"this is no pod":        {Name: "a", Account: c.dir},
		"which namespace":       {Name: "a", Account: t.TempDir(), Server: "https://x"},
		"service account: open": {Name: "a", Namespace: "b", Account: t.TempDir(), Server: "https://x"},
	} {
		if _, err := kubernetes.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c.write("ca.crt", "nonsense")
	if _, err := kubernetes.New(kubernetes.Options{Name: "a", Account: c.dir, Server: "https://x"}); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Error(err)
	}
}
