package embedded

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// storeFormat is the format written by this version. Stores of an older format are migrated when opened; newer ones are
// rejected.
const storeFormat = 3

// checkFormat checks the format of the store, and migrates an older one.
func (s *Store) checkFormat() error {
	row, closer, err := s.db.Get([]byte{formatKey})
	if errors.Is(err, pebble.ErrNotFound) {
		return s.writeFormat()
	}
	if err != nil {
		return diskguard.OpenError("store", s.dir, err)
	}
	defer closer.Close()
	format, err := strconv.Atoi(string(row))
	if err != nil {
		return fmt.Errorf("store in %s is damaged: its format key reads %q; restore a backup", s.dir, row)
	}
	if format > storeFormat {
		return fmt.Errorf("store in %s has format %d, this version knows up to %d: start the newer version that wrote it", s.dir, format, storeFormat)
	}
	for ; format < storeFormat; format++ {
		migrate, ok := migrations[format]
		if !ok {
			return fmt.Errorf("store in %s is damaged: there was never a format %d; restore a backup", s.dir, format)
		}
		if err := migrate(s.db); err != nil {
			return fmt.Errorf("bring store in %s from format %d to %d: %w", s.dir, format, format+1, err)
		}
	}
	return nil
}

// writeFormat writes the format key of a new store. A store with rows but without a format key is damaged.
func (s *Store) writeFormat() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return diskguard.OpenError("store", s.dir, err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return diskguard.OpenError("store", s.dir, err)
	}
	if !empty {
		return fmt.Errorf("store in %s is damaged: it has rows but no format key; restore a backup", s.dir)
	}
	return s.db.Set([]byte{formatKey}, []byte(strconv.Itoa(storeFormat)), pebble.Sync)
}
