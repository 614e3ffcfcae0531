package nodeproc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// many is so large that random selection alone would return some port twice.
const many = 400

// givePorts runs as a child process that reserves ports until its input ends.
func givePorts() {
	for range many {
		addr, err := FreePort()
		fmt.Println(addr)
		if err != nil {
			os.Exit(1)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// TestFreePort_SeveralProcesses_ReservesOnce checks that no port is returned twice.
func TestFreePort_SeveralProcesses_ReservesOnce(t *testing.T) {
	t.Parallel()
	other := exec.Command(os.Args[0], "ports")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = other.Wait() }()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); len(seen) < many && lines.Scan(); {
		if seen[lines.Text()] {
			t.Fatalf("port %q was returned twice to one process", lines.Text())
		}
		seen[lines.Text()] = true
	}
	for range many {
		addr, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Fatalf("port %q was returned twice", addr)
		}
		seen[addr] = true
	}
	if len(seen) != 2*many {
		t.Errorf("%d ports, want %d", len(seen), 2*many)
	}
}
