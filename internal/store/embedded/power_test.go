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

// What a child is told: its folder, and after how many messages it waits for its end; 0: it goes on for ever.
const (
	childDir   = "ESH3AR_STORE_CHILD"
	childCalls = "ESH3AR_STORE_CHILD_CALLS"
)

func TestMain(m *testing.M) {
	switch dir := os.Getenv(childDir); {
	case dir == "":
	case os.Getenv(childFill) != "":
		fill(dir)
		return
	default:
		child(dir)
		return
	}
	os.Exit(m.Run())
}

// TestLeaksNothing opens, uses and closes a store. TestMain cannot ask for this: a store that a fault stopped parks
// goroutines of pebble for good, and other tests stop hundreds.
func TestLeaksNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := embedded.Open("data", smallOptions(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, new(ledger), 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// child is a process with a store on a disk that forgets: it appends and prints what was answered.
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
			select {} // until the kill
		}
	}
}

// TestKilledOnForgetfulDisk kills a real process on a disk that loses what was not synced, and looks for everything that
// it had said was stored. The planted fault answer-before-fsync fails here.
func TestKilledOnForgetfulDisk(t *testing.T) {
	dir := t.TempDir()
	said := map[esh3ar.MessageID]esh3ar.Seq{}
	for round := range rounds(2, 4, 50) {
		// Where pebble begins a new log it syncs the old one and says nothing meanwhile, so that a kill often finds all that was said on
		// disk, whether it was synced for its caller or not. The first round ends before that.
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
			hear(t, lines.Text(), said)
		}
		_, err = embedded.Open(dir, embedded.Options{})
		oneLine(t, err, dir, "in use by another process")
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it still said before it died
			hear(t, lines.Text(), said)
		}
		_ = cmd.Wait() // killed
		s, err := embedded.Open(dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for id, seq := range said {
			if r, err := s.Message(t.Context(), id); err != nil || r.Seq != seq {
				lost++
			}
		}
		if lost > 0 {
			t.Fatalf("round %d: %d of %d messages lost", round, lost, len(said))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages kept", len(said))
}

// hear takes one line of a child; the last one may be cut.
func hear(t *testing.T, line string, said map[esh3ar.MessageID]esh3ar.Seq) {
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
		said[parsed] = seq
	}
}
