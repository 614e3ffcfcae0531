package main

import (
	"errors"
	"os"

	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// spillCmd is the spill at the command line; each subcommand's own file has its flags and its Run.
type spillCmd struct {
	List    spillListCmd    `cmd:"" help:"Show what waits on a node's disk for the database, and what is in quarantine."`
	Drain   spillDrainCmd   `cmd:"" help:"Bring what a stopped node has accepted to the database."`
	Readmit spillReadmitCmd `cmd:"" help:"Have a running node send the calls in quarantine to the database once more."`
}

// noSpill tells that none is in a folder. To open one would make it.
func noSpill(dir string) bool {
	names, err := os.ReadDir(dir)
	return errors.Is(err, os.ErrNotExist) || err == nil && len(names) == 0
}

// openStopped opens the spill of a node that is stopped.
func openStopped(dataDir string, s streams) (*spill.Spill, error) {
	dir := spillFolder(dataDir)
	if noSpill(dir) {
		return nil, usagef("--data-dir: there is no spill in %s", dataDir)
	}
	kept, err := spill.Open(dir, spill.Options{Log: newLog(s, "warn", "text")})
	if errors.Is(err, diskguard.ErrInUse) {
		return nil, usagef("--data-dir: a running node has %s open and drains it by itself; ask it with `%s spill list --url %s`", dataDir, self(), defaultURL)
	}
	return kept, err
}

// isLeftBehind tells whether a node ended with accepted messages that are nowhere else.
func isLeftBehind(err error) bool {
	_, ok := errors.AsType[leftBehind](err)
	return ok
}
