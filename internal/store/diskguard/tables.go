package diskguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckTables reads every table of an open database and checks the checksum of each block. It returns the first damaged place of each
// damaged table. The directory also contains tables that a flush or a compaction is still writing; they are incomplete, not damaged, so
// only tables of the current version are read. A table that is deleted in the meantime is skipped.
func CheckTables(ctx context.Context, db *pebble.DB, disk vfs.FS, dir string, options *pebble.Options) (places []string, err error) {
	names, err := tableNames(db)
	if err != nil {
		return nil, fmt.Errorf("list tables of %s: %w", dir, err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return places, err
		}
		if err := checkTable(ctx, disk, disk.PathJoin(dir, name), options); err != nil && !errors.Is(err, fs.ErrNotExist) {
			places = append(places, Place(name, err))
		}
	}
	return places, nil
}

// tableNames returns the names of the files in the current version of a database, in order. Virtual tables share a file.
func tableNames(db *pebble.DB) ([]string, error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, tables := range levels {
		for i := range tables {
			names = append(names, fmt.Sprintf("%06d.sst", uint64(tables[i].BackingSSTNum)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// checkTable validates all blocks of one table.
func checkTable(ctx context.Context, disk vfs.FS, name string, options *pebble.Options) (err error) {
	defer func() {
		// Pebble can panic on a block with a valid checksum and invalid contents.
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	file, err := disk.Open(name)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	reader, err := newReader(ctx, readable, options)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(reader.ValidateBlockChecksums(), reader.Close())
}

func newReader(ctx context.Context, readable objstorage.Readable, options *pebble.Options) (*sstable.Reader, error) {
	options.EnsureDefaults()
	return sstable.NewReader(ctx, readable, options.MakeReaderOptions())
}
