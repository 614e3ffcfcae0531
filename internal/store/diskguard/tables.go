package diskguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckTables reads every table in dir and checks the checksum of each block. It returns the first damaged place of each
// damaged table. A table that disappears meanwhile, as in a database that is open, is left out.
func CheckTables(ctx context.Context, disk vfs.FS, dir string, options *pebble.Options) (places []string, err error) {
	names, err := disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if path.Ext(name) != ".sst" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return places, err
		}
		if err := checkTable(ctx, disk, disk.PathJoin(dir, name), options); err != nil && !errors.Is(err, fs.ErrNotExist) {
			places = append(places, Place(name, err))
		}
	}
	return places, nil
}

func checkTable(ctx context.Context, disk vfs.FS, name string, options *pebble.Options) (err error) {
	defer func() {
		if p := recover(); p != nil { // a block whose checksum fits and whose content does not
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
