package main

import (
	"errors"

	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// spillCmd is the command spill. The file of each subcommand has its flags and its Run.
type spillCmd struct {
	List    spillListCmd    `cmd:"" help:"Show what waits on a node's disk for the database, and what is in quarantine."`
	Drain   spillDrainCmd   `cmd:"" help:"Bring what a stopped node has accepted to the database."`
	Readmit spillReadmitCmd `cmd:"" help:"Have a running node send the calls in quarantine to the database once more."`
}

// openStopped opens the spill of a stopped node.
func openStopped(dataDir string, s node.Streams) (*spill.Spill, error) {
	dir := node.SpillFolder(dataDir)
	if node.NoSpill(dir) {
		return nil, usage.Errorf("--data-dir: there is no spill in %s", dataDir)
	}
	kept, err := spill.Open(dir, spill.Options{Log: node.NewLog(s, "warn", "text")})
	if errors.Is(err, diskguard.ErrInUse) {
		return nil, usage.Errorf("--data-dir: a running node has %s open and drains it by itself; ask it with `%s spill list --url %s`", dataDir, usage.Program(), node.OperatorURL(dataDir))
	}
	return kept, err
}

// isLeftBehind reports whether a node ended while its spill holds accepted messages that the database does not have.
func isLeftBehind(err error) bool {
	_, ok := errors.AsType[node.SpillNotEmptyError](err)
	return ok
}
