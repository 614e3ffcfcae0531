package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// phone is Microsoft's client in a Node process.
type phone struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *nodeproc.Output
	stdin  io.WriteCloser
	events chan phoneEvent
	next   int
	got    []message // in the order of arrival, repeats included
	states []string
	backs  []comeback

	changes    []statusChange // of a business
	checkpoint string
}

// statusChange is what of a status event the tests look at.
type statusChange struct {
	EventID   string `json:"eventId"`
	MessageID string `json:"messageId"`
	Version   int    `json:"version"`
	Status    string `json:"status"`
}

// phoneEvent is one line of the process's output.
type phoneEvent struct {
	Event    string          `json:"event"`
	Live     bool            `json:"live"`
	Messages []message       `json:"messages"`
	ID       int             `json:"id"`
	Result   json.RawMessage `json:"result"`
	Error    string          `json:"error"`
	Text     string          `json:"text"`
	Change   statusChange    `json:"change"`
	comeback
}

// comeback describes one automatic reconnect of a phone.
type comeback struct {
	Tries int    `json:"tries"` // the one that succeeded included
	Took  int    `json:"tookMilliseconds"`
	Text  string `json:"-"` // why the others failed
}

// newPhone starts a phone and connects it.
func newPhone(p *platform, number, device, ack string) *phone {
	p.t.Helper()
	ph := newDriver(p, "phone.mjs")
	ph.do(map[string]any{"command": "connect", "url": p.node.URL + "/online-mobile-user", "token": p.token(number, device), "ack": ack})
	return ph
}

// newDriver starts Microsoft's client in a process.
func newDriver(p *platform, script string) *phone {
	p.t.Helper()
	ph := &phone{t: p.t, cmd: exec.Command("node", script), events: make(chan phoneEvent, 10_000), stderr: &nodeproc.Output{}}
	ph.cmd.Stderr = ph.stderr
	var err error
	if ph.stdin, err = ph.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	stdout, err := ph.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := ph.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go ph.listen(stdout) // ends with the process
	p.t.Cleanup(ph.vanish)
	return ph
}

func (ph *phone) listen(stdout io.Reader) {
	defer close(ph.events)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event phoneEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			event = phoneEvent{Event: "broken", Text: lines.Text()}
		}
		ph.events <- event
	}
}

// vanish kills the process: its connection ends without a close message.
func (ph *phone) vanish() {
	if ph.cmd.ProcessState != nil {
		return
	}
	_ = ph.cmd.Process.Kill() // it may have ended already
	_ = ph.cmd.Wait()
}

// freeze stops the process: its socket stays open and silent.
func (ph *phone) freeze() {
	if err := ph.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		ph.t.Fatal(err)
	}
}

// take waits for the next event and records it.
func (ph *phone) take(why string) phoneEvent {
	ph.t.Helper()
	select {
	case event, ok := <-ph.events:
		if !ok || event.Event == "broken" {
			ph.t.Fatalf("%s: the phone ended: %s %s", why, event.Text, ph.stderr)
		}
		switch event.Event {
		case "messages":
			ph.got = append(ph.got, event.Messages...)
		case "change":
			ph.changes = append(ph.changes, event.Change)
		case "checkpoint":
			ph.checkpoint = event.Text
		case "done":
		case "reconnected":
			ph.backs = append(ph.backs, comeback{event.Tries, event.Took, event.Text})
			ph.states = append(ph.states, event.Event)
		default:
			ph.states = append(ph.states, event.Event)
		}
		return event
	case <-time.After(patience):
		ph.t.Fatalf("%s: nothing came in %s; the connection was %v %s", why, patience, ph.states, ph.stderr)
		return phoneEvent{}
	}
}

// do executes a command and returns its result.
func (ph *phone) do(command map[string]any) json.RawMessage {
	ph.t.Helper()
	result, text := ph.try(command)
	if text != "" {
		ph.t.Fatalf("%v: %s", command, text)
	}
	return result
}

// try is do for commands that may fail.
func (ph *phone) try(command map[string]any) (json.RawMessage, string) {
	ph.t.Helper()
	ph.next++
	command["id"] = ph.next
	line, err := json.Marshal(command)
	if err != nil {
		ph.t.Fatal(err)
	}
	if _, err := ph.stdin.Write(append(line, '\n')); err != nil {
		ph.t.Fatal(err)
	}
	for {
		if event := ph.take(fmt.Sprint(command)); event.Event == "done" && event.ID == ph.next {
			return event.Result, event.Error
		}
	}
}

func (ph *phone) invoke(method string, args ...any) json.RawMessage {
	ph.t.Helper()
	return ph.do(map[string]any{"command": "invoke", "method": method, "args": args})
}

// await waits until the phone has received n messages in all.
func (ph *phone) await(n int) {
	ph.t.Helper()
	for len(ph.got) < n {
		ph.take(fmt.Sprintf("%d of %d messages came", len(ph.got), n))
	}
}

func (ph *phone) awaitState(name string) {
	ph.t.Helper()
	for len(ph.states) == 0 || ph.states[len(ph.states)-1] != name {
		ph.take("waiting for " + name)
	}
}

func contents(messages []message) (list []string) {
	for _, m := range messages {
		list = append(list, m.Content)
	}
	return list
}

func ids(messages []message) (list []string) {
	for _, m := range messages {
		list = append(list, m.ID)
	}
	return list
}
