package bench

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestCPUOfTree_LivingAndEndedChildren_AreCounted(t *testing.T) {
	t.Parallel()
	const busy = 100 * time.Millisecond // ten ticks of the kernel's clock
	for name, script := range map[string]string{
		"ended":  "(i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done) & wait; read end",
		"living": "(while :; do :; done) & read end; kill $!",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", script)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait() //nolint:errcheck // its end is all that counts
			defer stdin.Close()
			for began := time.Now(); ; {
				used, err := cpuOfTree(cmd.Process.Pid)
				if err != nil {
					t.Fatal(err)
				}
				if used >= busy {
					break
				}
				if time.Since(began) > time.Minute { // bounds a hang
					t.Fatalf("CPU time after a minute: got %s", used)
				}
			}
			_, _ = io.WriteString(stdin, "\n")
		})
	}
}

func TestCPUOfTree_NoProcess_IsAnError(t *testing.T) {
	t.Parallel()
	if _, err := cpuOfTree(1 << 30); err == nil {
		t.Error("a process that is not there has used something")
	}
}

// TestOwnCPU_ThisProcess_AgreesWithRusage: the clock lies between two readings of getrusage, which counts microseconds.
func TestOwnCPU_ThisProcess_AgreesWithRusage(t *testing.T) {
	t.Parallel()
	rusage := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for range 100 {
		before := rusage()
		got, err := ownCPU(os.Getpid())
		after := rusage()
		if err != nil || got < before-2*time.Microsecond || got > after+2*time.Microsecond {
			t.Fatalf("CPU time: got %s, %v, want between %s and %s", got, err, before, after)
		}
	}
}
