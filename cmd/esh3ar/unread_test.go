package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/node"
)

// edgeRequests are requests for each case of the switches that tell paths apart, without the API's own table. A case that is missing
// here fails TestServers_RoutesOfEdges_AreListed.
var edgeRequests = map[string][]string{
	`e.apart && forOperators(path)`: nil, // of the other listener
	`hubPath == hub.MobilePath`: {
		"POST /online-mobile-user/negotiate?negotiateVersion=1", "GET /online-mobile-user", "GET /online-mobile-user?id=none", "DELETE /online-mobile-user?id=none",
	},
	`hubPath == hub.BusinessPath`: {
		"POST /business-user/negotiate?negotiateVersion=1", "GET /business-user", "GET /business-user?id=none", "DELETE /business-user?id=none",
	},
	`path == "/readyz" && r.Header.Get(gateway.MarkHeader) != ""`: {"GET /readyz"},
	`path == ClusterPath`:                   {"GET " + node.ClusterPath},
	`strings.HasPrefix(path, "/demo/")`:     {"GET /demo/", "GET /demo/phone.js", "GET /demo/none"},
	`path == "/demo"`:                       {"GET /demo"},
	`strings.HasPrefix(path, profilesPath)`: profileRequests,
	`forOperators(path), path == "/livez", path == "/readyz", path == "/openapi.json", path == "/docs"`: {
		"GET /dashboard/", "GET /admin/v1/nodes", "GET /metrics", "GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs",
	},
	`"/livez"`:   {"GET /livez"},
	`"/readyz"`:  {"GET /readyz"},
	`"/metrics"`: {"GET /metrics"},
	`default`:    {"GET /none", "POST /v1/messages", "OPTIONS /v1/messages"},
}

var profileRequests = []string{
	"GET /debug/pprof/", "GET /debug/pprof/goroutine?debug=2", "GET /debug/pprof/heap", "GET /debug/pprof/cmdline",
	"GET /debug/pprof/profile?seconds=1", "GET /debug/pprof/symbol", "GET /debug/pprof/trace?seconds=1",
}

// switchCases returns the cases of the switches in the functions of that name, as they are written.
func switchCases(t *testing.T, file, function string) (cases []string) {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		if f, ok := decl.(*ast.FuncDecl); !ok || f.Name.Name != function {
			continue
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			clause, ok := n.(*ast.CaseClause)
			if !ok {
				return true
			}
			var list []string
			for _, e := range clause.List {
				var text strings.Builder
				if err := format.Node(&text, set, e); err != nil {
					t.Fatal(err)
				}
				list = append(list, text.String())
			}
			if list == nil {
				list = []string{"default"}
			}
			cases = append(cases, strings.Join(list, ", "))
			return true
		})
	}
	if len(cases) == 0 {
		t.Fatalf("%s has no switch in %s", file, function)
	}
	return cases
}

// TestServers_RoutesOfEdges_AreListed: a path that a server tells apart is one of those that TestServers_UnreadAnswers_ConnectionEnds
// asks for.
func TestServers_RoutesOfEdges_AreListed(t *testing.T) {
	t.Parallel()
	cases := slices.Concat(switchCases(t, "../../internal/node/edges.go", "ServeHTTP"), switchCases(t, "../../internal/gateway/gateway.go", "ServeHTTP"))
	for _, text := range cases {
		if _, ok := edgeRequests[text]; !ok {
			t.Errorf("no request for the case %s", text)
		}
	}
	for text := range edgeRequests {
		if !slices.Contains(cases, text) {
			t.Errorf("no server has the case %s", text)
		}
	}
	source, err := os.ReadFile("../../internal/node/adminlisten.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(source), `mux.HandleFunc("`)[1:] {
		pattern, _, _ := strings.Cut(part, `"`)
		if !slices.ContainsFunc(profileRequests, func(r string) bool { return strings.HasPrefix(r, pattern) }) {
			t.Errorf("no request for %s", pattern)
		}
	}
}

// apiRequests are requests for each path and method of the API.
func apiRequests() (list []string) {
	values := strings.NewReplacer("{id}", "01890a5d-ac96-774b-bcce-b302099a8057", "{keyId}", "01890a5d-ac96-774b-bcce-b302099a8057",
		"{number}", "+967771234568", "{did}", "none", "{name}", "none")
	for path, methods := range httpapi.Routes() {
		for _, method := range methods {
			list = append(list, method+" "+values.Replace(path))
		}
	}
	return list
}

// text is a request with the credentials that its path asks for. What would change something has none.
func (w *testPlatform) text(request string) string {
	method, target, _ := strings.Cut(request, " ")
	head := request + " HTTP/1.1\r\nHost: x\r\n"
	switch {
	case method != http.MethodGet:
		return head + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	case strings.HasPrefix(target, "/v1/events"):
		head += "Last-Event-ID: " + w.firstEvent + "\r\nAuthorization: Bearer " + w.key + "\r\n"
	case strings.HasPrefix(target, "/v1/"):
		head += "Authorization: Bearer " + w.key + "\r\n"
	case strings.HasPrefix(target, "/admin/"), strings.HasPrefix(target, "/debug/"):
		head += "Authorization: Bearer " + w.admin + "\r\n"
	}
	return head + "\r\n"
}

// unreadWithin bounds a hang; a server's longest limit that no flag shortens is 30 s.
const unreadWithin = 3 * time.Minute

// dialDeaf opens a connection whose buffers are small on both sides: its peer can send little that is not read.
func dialDeaf(address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2304),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
		})
		return errors.Join(err, failed)
	}}
	return dialer.Dial("tcp", address)
}

// neverRead sends a request over and over and reads nothing; nil: the server has ended the connection.
func neverRead(address, text string) error {
	c, err := dialDeaf(address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(unreadWithin)) // it cannot fail
	for {
		_, err := io.WriteString(c, text)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the connection is open after %s", unreadWithin)
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the connection is what it waits for
		}
	}
}

// TestServers_UnreadAnswers_ConnectionEnds: a client that sends requests and never reads an answer is ended by the server, whatever it
// asks for: at a node, through a gateway and at the operators' address.
func TestServers_UnreadAnswers_ConnectionEnds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the whole servers; the quick loop has the list of routes")
	}
	operators := freeAddress(t)
	flags := []string{"--write-timeout", "100ms", "--gateway-forward-admin"}
	open := startWhole(t, flags...)
	apart := startWhole(t, append(flags, "--admin-listen", operators)...)
	open.fillEvents(t)
	apart.fillEvents(t)
	requests := slices.Concat(slices.Collect(maps.Values(edgeRequests))...)
	requests = append(requests, apiRequests()...)
	slices.Sort(requests)
	var running sync.WaitGroup
	turns := make(chan struct{}, 16)
	for _, request := range slices.Compact(requests) {
		for name, at := range map[string]struct {
			server  *testPlatform
			address string
		}{"node": {open, open.node}, "gateway": {open, open.gateway}, "operators": {apart, apart.operators}} {
			turns <- struct{}{}
			running.Go(func() {
				defer func() { <-turns }()
				if err := neverRead(at.address, at.server.text(request)); err != nil {
					t.Errorf("%s, %s: %v", name, request, err)
				}
			})
		}
	}
	running.Wait()
	for _, server := range []*testPlatform{open, apart} {
		if stack := server.log.panicked(); stack != "" {
			t.Errorf("a server has panicked: %s", stack)
		}
	}
}

// fillEvents sends messages, so that a stream from the first event has more than the buffers of a connection take.
func (w *testPlatform) fillEvents(t *testing.T) {
	t.Helper()
	messages := make([]string, 1000)
	for i := range messages {
		messages[i] = fmt.Sprintf(`{"recipientPhoneNumber":"+96777123%04d","messageContent":"x"}`, i)
	}
	var id string
	for range 2 { // the first is where the stream begins
		req, err := http.NewRequest(http.MethodPost, "http://"+w.node+"/v1/messages/batch", strings.NewReader(`{"messages":[`+strings.Join(messages, ",")+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body) // the status says enough
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%d %.200s", resp.StatusCode, answer)
		}
		if id == "" {
			id = w.lastEvent(t)
		}
	}
	w.firstEvent = id
}

// lastEvent is the position of a stream that begins now.
func (w *testPlatform) lastEvent(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+w.node+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text []byte
	for buffer := make([]byte, 256); !strings.Contains(string(text), "\n\n"); {
		n, err := resp.Body.Read(buffer)
		if err != nil {
			t.Fatalf("read the first lines of the stream: %v after %q", err, text)
		}
		text = append(text, buffer[:n]...)
	}
	_, id, _ := strings.Cut(string(text), "id: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}
