// Package command is a target of package autoscale: a command of the operator's that is run with the number of nodes there should
// be. It is told and not asked, so the scaler goes by what it said last, and by the nodes that report.
//
// In the arguments {nodes} and {token} stand for the number and the holder's token; both are also in the environment, as
// ESH3AR_SCALE_NODES and ESH3AR_SCALE_TOKEN. The lease is looked at before the command starts and cannot be held while it
// runs: a command that must not be run late keeps the highest token that it has seen, and refuses lower ones.
//
// A command may leave something running, which goes on. Its output is read for a second more and then closed, so what is to
// live on writes elsewhere.
//
// Concurrency: a Target is one scaler's.
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

// Options say what to run. Args must be given, the zero value of another field means its default.
type Options struct {
	Args   []string      // the program and its arguments; no shell is in between
	Within time.Duration // after which it is killed, with what it started; default 30 s
	Log    *slog.Logger
}

// Target is the command. It realises scale.Target.
type Target struct{ opts Options }

var _ autoscale.Target = (*Target)(nil)

// New looks for the program.
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

// Fleet realises scale.Target.
func (t *Target) Fleet(context.Context) (autoscale.Fleet, error) {
	return autoscale.Fleet{OwnsAll: true, Opaque: true}, nil
}

// Resize realises scale.Target.
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
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too
	cmd.WaitDelay = time.Second                                                          // for who holds its output open
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // what it left running has its output open: that it ended well counts
		t.opts.Log.Info("the command of scaling has run", "nodes", o.Nodes, "output", said.String())
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s was killed: %w: %s", args[0], context.Cause(ctx), said)
	default:
		return fmt.Errorf("%s: %w: %s", args[0], err, said)
	}
}

// tailSize is how much of an output is kept: enough for an error and what led to it.
const tailSize = 4 << 10

// tail keeps the end of an output.
type tail struct{ text []byte }

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String is one line.
func (t *tail) String() string { return strings.Join(strings.Fields(string(t.text)), " ") }
