package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/esh3artech/esh3ar/internal/spill"
)

// leftIn looks into the data directory of a node that has ended, for accepted messages that the database has not. While the node
// still runs it is an error.
func leftIn(log *slog.Logger) func(dataDir string) (bool, error) {
	return func(dataDir string) (bool, error) {
		dir := spillFolder(dataDir)
		if names, err := os.ReadDir(dir); errors.Is(err, os.ErrNotExist) || err == nil && len(names) == 0 {
			return false, nil // to open one would make it
		}
		kept, err := spill.Open(dir, spill.Options{Log: log})
		if err != nil {
			return false, err
		}
		return kept.Messages() > 0, kept.Close()
	}
}
