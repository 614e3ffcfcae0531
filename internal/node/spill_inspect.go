package node

import (
	"errors"
	"log/slog"
	"os"

	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// LeftIn returns a function that reports whether the spill in the data directory of a stopped node contains accepted messages. If the
// node still runs, the function returns an error.
func LeftIn(log *slog.Logger) func(dataDir string) (bool, error) {
	return func(dataDir string) (bool, error) {
		dir := SpillFolder(dataDir)
		if NoSpill(dir) {
			return false, nil
		}
		kept, err := spill.Open(dir, spill.Options{Log: log})
		if err != nil {
			return false, err
		}
		return kept.Messages() > 0, kept.Close()
	}
}

// NoSpill reports whether a folder contains no spill. Opening one would create it.
func NoSpill(dir string) bool {
	names, err := os.ReadDir(dir)
	return errors.Is(err, os.ErrNotExist) || err == nil && len(names) == 0
}
