package nodeproc

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain turns the test binary into a node that only reports readiness if its first argument is serve, or into a
// process that reserves ports.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "ports" {
		givePorts()
	}
	if len(os.Args) > 3 && os.Args[1] == "serve" {
		listener, err := net.Listen("tcp", os.Args[3])
		if err != nil {
			os.Exit(1)
		}
		_ = http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // until it is killed
	}
	os.Exit(m.Run())
}

func startChild(t *testing.T) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node, err := Start(ctx, Config{Binary: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Kill() }) // it may have ended already
	return node
}

// awaitState waits until the kernel reports the child as stopped, or as not stopped.
func awaitState(t *testing.T, node *Node, stopped bool) {
	t.Helper()
	for began := time.Now(); ; {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(node.PID()) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, "T") == stopped {
			return
		}
		if time.Since(began) > time.Minute { // bounds a hang
			t.Fatalf("the child's state is %.1s", rest)
		}
	}
}

func TestNode_Paused_ContinuesAfterResume(t *testing.T) {
	t.Parallel()
	node := startChild(t)
	for range 3 {
		if err := node.Pause(); err != nil {
			t.Fatal(err)
		}
		awaitState(t, node, true)
		if err := node.Resume(); err != nil {
			t.Fatal(err)
		}
		awaitState(t, node, false)
		if !node.answers(t.Context(), "/readyz") {
			t.Error("it does not answer any more")
		}
	}
}

func TestNode_Paused_CanBeKilled(t *testing.T) {
	t.Parallel()
	node := startChild(t)
	if err := node.Pause(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, node, true)
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := node.Pause(); err == nil {
		t.Error("a dead node was paused")
	}
}
