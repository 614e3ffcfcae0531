package command_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/autoscale/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func order(n int) autoscale.Order {
	return autoscale.Order{Nodes: n, Token: 42, Guard: func(ctx context.Context, effect func(context.Context) error) error { return effect(ctx) }}
}

func target(t *testing.T, within time.Duration, args ...string) *command.Target {
	t.Helper()
	c, err := command.New(command.Options{Args: args, Within: within})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTarget_Resize_RunsTheCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "said")
	c := target(t, time.Minute, "sh", "-c", `echo "$0 $1 $ESH3AR_SCALE_NODES $ESH3AR_SCALE_TOKEN" > `+file, "n={nodes}", "{token}")
	if err := c.Resize(t.Context(), order(7)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "n=7 42 7 42\n" {
		t.Errorf("%q %v", text, err)
	}
	if f, err := c.Fleet(t.Context()); err != nil || !f.Opaque || !f.OwnsAll {
		t.Errorf("%+v %v", f, err)
	}
}

func TestTarget_CommandFails_ErrorHasOutput(t *testing.T) {
	t.Parallel()
	err := target(t, time.Minute, "sh", "-c", "echo no such >&2; echo service; exit 3").Resize(t.Context(), order(2))
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no such service") {
		t.Error(err)
	}
	err = target(t, time.Minute, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end; exit 1").Resize(t.Context(), order(2))
	if err == nil || len(err.Error()) > 5000 || !strings.HasSuffix(err.Error(), "xxx end") {
		t.Errorf("%.200s", err)
	}
}

func TestTarget_CommandHangs_IsKilledWithChildren(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	pid := 0
	for within := 100 * time.Millisecond; pid == 0; within *= 2 { // until the command had enough time to start a process
		err := target(t, within, "sh", "-c", "sleep 1000 & echo $! > "+file+"; wait").Resize(t.Context(), order(2))
		if err == nil || !strings.Contains(err.Error(), "was killed: it did not end within "+within.String()) {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	deadline := time.Now().Add(time.Minute)
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Fatal("what the command started lives on")
		}
	}
}

// alive does not count zombies.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestTarget_LeaseLost_RunsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ran")
	o := order(3)
	o.Guard = func(context.Context, func(context.Context) error) error { return autoscale.ErrFenced }
	if err := target(t, time.Minute, "touch", file).Resize(t.Context(), o); !errors.Is(err, autoscale.ErrFenced) {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran")
	}
}

func TestNew_MissingCommand_Fails(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"/nonexistent/command"}} {
		if _, err := command.New(command.Options{Args: args}); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// TestTarget_CommandLeavesProcess_Succeeds covers small scripts that start nodes in the background.
func TestTarget_CommandLeavesProcess_Succeeds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	err := target(t, time.Minute, "sh", "-c", "sleep 1000 & echo $! > "+file).Resize(t.Context(), order(2))
	text, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if convErr != nil {
		t.Fatal(convErr)
	}
	if !alive(pid) {
		t.Error("what it left running was ended")
	}
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Error(err)
	}
}

func TestTarget_ScalerStops_NotReportedAsTimeout(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the scaler ends")
	o := order(2)
	o.Guard = func(ctx context.Context, effect func(context.Context) error) error {
		cancel(why)
		return effect(ctx)
	}
	err := target(t, time.Minute, "sleep", "1000").Resize(ctx, o)
	if !errors.Is(err, why) || strings.Contains(err.Error(), "did not end within") {
		t.Error(err)
	}
}
