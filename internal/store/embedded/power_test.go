package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/crashfs"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// Environment of a child process: the directory of its store, and the number of messages after which it blocks; 0: never.
const (
	childDir   = "ESH3AR_STORE_CHILD"
	childCalls = "ESH3AR_STORE_CHILD_CALLS"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir != "" && os.Getenv(childFill) != "" {
		fill(dir)
		return
	}
	if dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

// TestStore_Close_LeaksNoGoroutine opens, uses and closes a store. TestMain cannot check this for all tests: a store with a
// fault blocks Pebble's goroutines forever, and other tests cause hundreds of faults.
func TestStore_Close_LeaksNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := embedded.Open("data", smallOptions(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, new(observationLog), 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// child is the main function of a child process. Its store is on a file system that loses unsynced writes. It prints every
// acknowledged append.
func child(dir string) {
	calls, err := strconv.Atoi(os.Getenv(childCalls))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	s, err := embedded.Open(dir, embedded.Options{FS: crashfs.New(vfs.Default), MemTableSize: 256 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		m := newMessage(i)
		if _, err := s.Append(context.Background(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("stored", m.ID, m.Seq)
		if i+1 == calls {
			select {} // until it is killed
		}
	}
}

// TestStore_KillOnVolatileDisk_KeepsAcknowledged kills a process whose disk loses unsynced writes, and checks that every
// append it acknowledged is present. The planted fault answer-before-fsync must turn this test red.
func TestStore_KillOnVolatileDisk_KeepsAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[esh3ar.MessageID]esh3ar.Seq{}
	for round := range rounds(2, 4, 50) {
		// When Pebble starts a new WAL, it syncs the old one and acknowledges nothing meanwhile. A kill at that time often
		// finds all acknowledged appends on disk, even if they were not synced first. The first round ends before Pebble
		// rotates the WAL.
		calls := 0
		if round == 0 {
			calls = 150
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childCalls, calls))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 150+70*round && lines.Scan(); n++ {
			recordLine(t, lines.Text(), acknowledged)
		}
		_, err = embedded.Open(dir, embedded.Options{})
		oneLine(t, err, dir, "in use by another process")
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // output from before its end
			recordLine(t, lines.Text(), acknowledged)
		}
		_ = cmd.Wait() // killed
		s, err := embedded.Open(dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for id, seq := range acknowledged {
			if r, err := s.Message(t.Context(), id); err != nil || r.Seq != seq {
				lost++
			}
		}
		if lost > 0 {
			t.Fatalf("round %d: %d of %d acknowledged messages are missing", round, lost, len(acknowledged))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages present", len(acknowledged))
}

// recordLine records one line of a child's output. The last line may be incomplete.
func recordLine(t *testing.T, line string, acknowledged map[esh3ar.MessageID]esh3ar.Seq) {
	t.Helper()
	if strings.HasPrefix(line, "error") {
		t.Fatal(line)
	}
	var id string
	var seq esh3ar.Seq
	if _, err := fmt.Sscanf(line, "stored %s %d", &id, &seq); err != nil {
		return
	}
	if parsed, err := esh3ar.ParseMessageID(id); err == nil {
		acknowledged[parsed] = seq
	}
}
