package hostile

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// Flags of `make hostile`.
var (
	long      = flag.Bool("long", false, "one attack after the other, against each target, and compare latencies")
	attackFor = flag.Duration("attack-for", 5*time.Second, "with -long: duration of each attack")
	built     = flag.String("program", "", "esh3ar to test instead of one that is built from here")
	only      = flag.String("only", "", "with -long: name of the only attack")
)

// patience bounds a hang and measures nothing.
const patience = time.Minute

// openFiles is what each node and gateway may open.
const openFiles = 2048

// binary is the program under test with the lower limit of open files, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("hostile: the quick loop has no outside parts")
		os.Exit(0)
	}
	os.Exit(withBinary(m))
}

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "esh3ar-hostile-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := *built
	if program == "" {
		program = filepath.Join(dir, "program")
		if err := build(program); err != nil {
			fmt.Fprintln(os.Stderr, "hostile:", err)
			return 1
		}
	}
	binary = filepath.Join(dir, "esh3ar")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", openFiles, program)
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return 1
	}
	code := m.Run()
	if n := nodeproc.Recovered(); n > 0 {
		fmt.Fprintf(os.Stderr, "hostile: the processes under attack have printed %d stacks\n", n)
		return 1
	}
	return code
}

func build(program string) error {
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/esh3ar").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
