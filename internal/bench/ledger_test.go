package bench

import (
	"bufio"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLedger_LossRepeatsUnknownMessages_AreFound(t *testing.T) {
	t.Parallel()
	l := newLedger()
	now := time.Now()
	for range 3 {
		l.begin(now)
		l.answered(http.StatusAccepted, now)
	}
	if !l.arrived(0) || l.arrived(0) || !l.arrived(2) {
		t.Error("first deliveries and repeats are mixed up")
	}
	if l.repeats.Load() != 1 || !strings.Contains(l.faults(), "lost 1") {
		t.Errorf("repeats %d, %q", l.repeats.Load(), l.faults())
	}
	l.arrived(1)
	if text := l.faults(); text != "" {
		t.Errorf("all arrived: got %q", text)
	}
	l.arrived(99)
	if !strings.Contains(l.faults(), "never sent 1") {
		t.Errorf("unknown message: got %q", l.faults())
	}
}

func TestLedger_Latency_CountsFromDueTime(t *testing.T) {
	t.Parallel()
	l := newLedger()
	due := time.Now().Add(-time.Second)
	n := l.begin(due)
	l.answered(http.StatusAccepted, due) // outside of the measured stretch
	l.measured.Store(true)
	l.answered(http.StatusAccepted, due)
	l.arrived(n)
	if l.accept.TotalCount() != 1 || l.accept.Max() < 1_000_000 || l.device.Max() < 1_000_000 {
		t.Errorf("accept %d × %d µs, device %d µs", l.accept.TotalCount(), l.accept.Max(), l.device.Max())
	}
}

func TestCaller_Call_SendsValidHTTP(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := bufio.NewReader(r.Body).ReadString('}')
		if err != nil || r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("%q, %v, %v", body, r.Header, err)
		}
		bodies <- body
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"id":"x","seq":17,"status":"queued"}`)) // the caller's result shows whether it was read
	}))
	defer server.Close()
	c, err := dialCaller(t.Context(), server.Listener.Addr().String(), messageFormat("key"), minSize)
	if err != nil {
		t.Fatal(err)
	}
	defer c.net.Close()
	for n, want := range []string{
		`{"recipientPhoneNumber":"+967770000003","messageContent":"0 xxxxxxxxxxxxxx"}`,
		`{"recipientPhoneNumber":"+967770000003","messageContent":"1 xxxxxxxxxxxxxx"}`,
	} {
		status, seq, err := c.call(n, recipientOf(3))
		if status != http.StatusAccepted || seq != 17 || err != nil {
			t.Errorf("%d, seq %d, %v", status, seq, err)
		}
		if got := <-bodies; got != want {
			t.Errorf("sent %s", got)
		}
	}
	if n := numberOf("1234 xxx"); n != 1234 {
		t.Error(n)
	}
}

func TestRow_Verdict_ComparesWithBudget(t *testing.T) {
	t.Parallel()
	least, aim := 0.6, 0.8
	for value, want := range map[float64]string{0.9: "aim met", 0.8: "aim met", 0.7: "met", 0.5: "NOT met"} {
		if got := (Row{Value: value, Least: &least, Aim: &aim, More: true}).Verdict(); got != want {
			t.Errorf("%g of a share: %s", value, got)
		}
	}
	least, aim = 90, 60
	for value, want := range map[float64]string{50: "aim met", 60: "aim met", 80: "met", 100: "NOT met"} {
		if got := (Row{Value: value, Least: &least, Aim: &aim}).Verdict(); got != want {
			t.Errorf("%g µs: %s", value, got)
		}
	}
}

// TestReport_Missed names what is worse than its least, whichever way is better, and what could not be measured.
func TestReport_Missed(t *testing.T) {
	t.Parallel()
	r := &Report{}
	r.add(Accept, "no budget", 1e9, "")
	r.budget(Accept, "share", 0.7, "", "B1", 0.6, 0.8, true)
	r.budget(Idle, "memory", 9, "KiB", "B3", 8, 4, false)
	r.budget(Overload, "goodput", math.NaN(), "", "R1.5", 0.9, 0.95, true)
	want := []string{"B3 (idle, memory): 9 KiB", "R1.5 (overload, goodput): NaN "}
	if got := r.Missed(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
