// Package command is a target of package autoscale that runs a command of the operator with the number of nodes. The command is not
// asked for a number, so the scaler relies on the last number that it set, and on the nodes that report.
//
// In the arguments, {nodes} and {token} stand for the number and the fencing token; both are also in the environment, as
// ESH3AR_SCALE_NODES and ESH3AR_SCALE_TOKEN. The lease is checked before the command starts and cannot be held while it runs. A
// command that must not be run late stores the highest token that it has seen, and refuses lower ones.
//
// A command may leave processes running. Its output is read for one more second and then closed, so such a process must write
// elsewhere.
//
// Concurrency: a Target is used by one scaler.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// Options configure a Target. Args is required; the zero value of any other field selects its default.
type Options struct {
	Args   []string      // program and arguments, run without a shell
	Within time.Duration // time after which it is killed together with its child processes; default 30 s
	Log    *slog.Logger
}

// Target runs the command. It implements autoscale.Target.
type Target struct{ opts Options }

var _ autoscale.Target = (*Target)(nil)

// New returns a Target. It fails if the program is not found.
func New(o Options) (*Target, error) {
	if len(o.Args) == 0 {
		return nil, errors.New("there is no command")
	}
	if _, err := exec.LookPath(o.Args[0]); err != nil {
		return nil, err
	}
	o.Within = cmp.Or(o.Within, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Target{o}, nil
}

// Fleet implements autoscale.Target.
func (t *Target) Fleet(context.Context) (autoscale.Fleet, error) {
	return autoscale.Fleet{OwnsAll: true, Opaque: true}, nil
}

// Resize implements autoscale.Target.
func (t *Target) Resize(ctx context.Context, o autoscale.Order) error {
	if err := o.Guard(ctx, func(context.Context) error { return nil }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.opts.Within, fmt.Errorf("it did not end within %s", t.opts.Within))
	defer cancel()
	n, token := strconv.Itoa(o.Nodes), strconv.FormatUint(o.Token, 10)
	fill := strings.NewReplacer("{nodes}", n, "{token}", token)
	args := make([]string, len(t.opts.Args))
	for i, arg := range t.opts.Args {
		args[i] = fill.Replace(arg)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "ESH3AR_SCALE_NODES="+n, "ESH3AR_SCALE_TOKEN="+token)
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the whole process group
	cmd.WaitDelay = time.Second                                                          // for processes that hold its output open
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // a process that it left running holds its output open; the command itself succeeded
		t.opts.Log.Info("the command of scaling has run", "nodes", o.Nodes, "output", said.String())
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s was killed: %w: %s", args[0], context.Cause(ctx), said)
	default:
		return fmt.Errorf("%s: %w: %s", args[0], err, said)
	}
}

// tailSize bounds the stored output: enough for an error and its context.
const tailSize = 4 << 10

// tail stores the end of an output.
type tail struct{ text []byte }

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String returns the output as one line.
func (t *tail) String() string { return strings.Join(strings.Fields(string(t.text)), " ") }
