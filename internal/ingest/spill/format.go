package spill

import (
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// spillFormat is the number of the layout that this version writes. A spill with a higher number is refused.
const spillFormat = 2

// checkFormat returns an error if this version cannot read the spill. It marks a new spill with the format.
func (s *Spill) checkFormat() error {
	row, err := s.get([]byte{formatKey})
	if err != nil {
		return diskguard.OpenError("spill", s.dir, err)
	}
	if row == nil {
		return s.stampFormat()
	}
	format, err := strconv.Atoi(string(row))
	if err != nil || format < 1 {
		return fmt.Errorf("spill in %s is damaged: its format key reads %q; restore a backup", s.dir, row)
	}
	if format < spillFormat {
		return fmt.Errorf("spill in %s has format %d of an older version, this version reads %d: bring its calls to the database with `esh3ar spill drain` of that version", s.dir, format, spillFormat)
	}
	if format > spillFormat {
		return fmt.Errorf("spill in %s has format %d, this version knows up to %d: start the newer version that wrote it", s.dir, format, spillFormat)
	}
	return nil
}

// stampFormat marks a new spill with the format. A spill that has rows but no mark is damaged.
func (s *Spill) stampFormat() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return diskguard.OpenError("spill", s.dir, err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return diskguard.OpenError("spill", s.dir, err)
	}
	if !empty {
		return fmt.Errorf("spill in %s is damaged: it has rows but no format key; restore a backup", s.dir)
	}
	return s.db.Set([]byte{formatKey}, []byte(strconv.Itoa(spillFormat)), pebble.Sync)
}
