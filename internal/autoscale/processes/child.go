package processes

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// exitSpilled is the exit code of a node that has accepted messages only on its own disk.
const exitSpilled = 3

// steadyAfter is the uptime after which the next crash counts as the first one.
const steadyAfter = time.Minute

// again is the backoff before a crashed child is restarted.
var again = flow.Backoff{Base: time.Second, Cap: 30 * time.Second}

// child is a slot for a node, and the process in it.
type child struct {
	slot int
	id   membership.NodeID
	stop chan struct{} // closed to make it drain and exit
	done chan struct{} // closed when it has exited
	once sync.Once     // guards the close of stop
}

// end makes the child drain and exit.
func (c *child) end() { c.once.Do(func() { close(c.stop) }) }

func (c *child) going() bool { return closed(c.stop) }
func (c *child) gone() bool  { return closed(c.done) }

func closed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// keep starts the process, and restarts it after crashes until the child should stop. It sends the result of the first start to
// started.
//
// The kernel kills a child when the thread that started it exits (Pdeathsig), so this goroutine stays locked to its thread.
func (t *Target) keep(c *child, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	for deaths := 1; ; deaths++ {
		cmd := t.command(c)
		err := cmd.Start()
		if started != nil {
			if started <- err; err != nil {
				return
			}
			started = nil
		}
		begin := time.Now()
		if err == nil {
			err = t.await(c, cmd)
		}
		if errors.Is(err, errLeftBehind) {
			t.again(c)
			return
		}
		if errors.Is(err, errStopped) {
			return
		}
		if time.Since(begin) > steadyAfter {
			deaths = 1
		}
		pause := again.Delay(deaths, t.opts.Random)
		t.opts.Log.Warn("a node ended by itself; it is started again", "node", c.id, "error", err, "in", pause.Round(time.Millisecond))
		if !rest(c.stop, pause) {
			return
		}
	}
}

// rest waits for pause. It returns false if stop is closed first.
func rest(stop <-chan struct{}, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}

// errStopped means that the process was stopped on purpose, errLeftBehind that it exited with accepted messages on its disk.
var (
	errStopped    = errors.New("stopped")
	errLeftBehind = fmt.Errorf("%w with messages on its disk", errStopped)
)

// await waits until the process exits. When the child should stop, it sends SIGTERM, and SIGKILL after StopWithin.
func (t *Target) await(c *child, cmd *exec.Cmd) error {
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the process
	select {
	case err := <-exited:
		if err == nil {
			err = errors.New("exit status 0")
		}
		return err
	case <-c.stop:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // fails if the process has just exited
	kill := time.AfterFunc(t.opts.StopWithin, func() {
		t.opts.Log.Error("a node did not drain in time and is killed; what it accepted is on disk", "node", c.id, "within", t.opts.StopWithin)
		_ = cmd.Process.Kill()
	})
	defer kill.Stop()
	return t.reportExit(c, <-exited)
}

// reportExit logs how a stopped process exited, and returns errStopped or errLeftBehind.
func (t *Target) reportExit(c *child, err error) error {
	exit, bad := errors.AsType[*exec.ExitError](err)
	switch {
	case bad && exit.ExitCode() == exitSpilled:
		t.opts.Log.Warn("a node ended with accepted messages on its own disk; they are stored when it runs again", "node", c.id, "data", t.folder.data(c.slot))
		return errLeftBehind
	case err != nil:
		t.opts.Log.Warn("a node did not end well", "node", c.id, "error", err)
	default:
		t.opts.Log.Info("a node has drained and ended", "node", c.id)
	}
	return errStopped
}

// command returns the command of a child. It has its own process group, so that Ctrl-C in the terminal reaches only the scaler.
func (t *Target) command(c *child) *exec.Cmd {
	args := append([]string{"serve"}, t.opts.Flags...)
	args = append(args, "--listen", net.JoinHostPort(t.opts.Host, "0"), "--data-dir", t.folder.data(c.slot), "--node-id", string(c.id))
	cmd := exec.Command(t.opts.Binary, args...) // no CommandContext: the target decides when it exits
	cmd.Env = append(ownEnvironment(os.Environ()), t.opts.Env...)
	cmd.Stderr = &prefixed{prefix: string(c.id) + ": ", out: t.opts.Output}
	cmd.SysProcAttr = attributes()
	return cmd
}
