package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// childFill is the environment variable that makes a child fill a store with that number of messages, print "full", and
// continue until it is killed.
const childFill = "ESH3AR_STORE_FILL"

// fillBatch is the number of messages that the child appends per call.
const fillBatch = 1000

func fill(dir string) {
	stop := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	count, err := strconv.Atoi(os.Getenv(childFill))
	if err != nil {
		stop(err)
	}
	s, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		stop(err)
	}
	for i := 0; ; i += fillBatch {
		call := &esh3ar.Call{Business: business}
		for j := range fillBatch {
			m := newMessage(i + j)
			m.Recipient += esh3ar.Recipient((i + j) % 100_000 * 10)
			call.Messages = append(call.Messages, m)
		}
		if _, err := s.Append(context.Background(), []*esh3ar.Call{call}); err != nil {
			stop(err)
		}
		if i+fillBatch == count {
			fmt.Println("full")
		}
	}
}

// TestRecovery_LargeStore_ReplaysBoundedWAL kills a process that writes, and opens its store. Only the WAL since the last
// flush is replayed, a few memtables at most, however many messages are stored. ESH3AR_STORED sets their number. The
// duration is logged, not checked.
func TestRecovery_LargeStore_ReplaysBoundedWAL(t *testing.T) {
	stored := os.Getenv("ESH3AR_STORED")
	if stored == "" {
		stored = "20000"
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFill+"="+stored)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	line := lines.Text()
	_ = cmd.Process.Kill() // it may have exited with an error, which it printed
	_ = cmd.Wait()
	if line != "full" {
		t.Fatalf("the child printed %q, want full", line)
	}
	s, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := s.Recovery()
	const memtable, tables = 64 << 20, 4 // Pebble stops writers when more memtables wait for a flush
	if r.WALs == 0 || r.WALBytes == 0 || r.WALBytes > tables*memtable {
		t.Errorf("got %+v, want a WAL of at most 4 memtables", r)
	}
	if count, err := strconv.ParseUint(stored, 10, 64); err != nil || r.Events < count {
		t.Errorf("%s messages were stored, got %d events, %v", stored, r.Events, err)
	}
	t.Logf("%s messages: opened in %s, %d WAL files, %d MiB", stored, r.Took, r.WALs, r.WALBytes/(1<<20))
}
