package main

import (
	"log/slog"

	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// leftIn looks into the data directory of a node that has ended, for accepted messages that the database has not. While the node
// still runs it is an error.
func leftIn(log *slog.Logger) func(dataDir string) (bool, error) {
	return func(dataDir string) (bool, error) {
		dir := spillFolder(dataDir)
		if noSpill(dir) {
			return false, nil
		}
		kept, err := spill.Open(dir, spill.Options{Log: log})
		if err != nil {
			return false, err
		}
		return kept.Messages() > 0, kept.Close()
	}
}
