package diskguard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// A manifest is a log of records in blocks of 32 KiB. A record consists of one or more chunks: checksum (4 bytes), length (2
// bytes), position (1 byte) and payload. No chunk crosses a block boundary.
const (
	manifestBlock = 32 << 10
	chunkHeader   = 7
	lastPosition  = 4 // largest value of a position
)

// CheckManifest returns an error if the manifest is damaged before its end. Pebble takes the first unreadable record for the
// end of the file, drops the rest, and deletes the tables that only those records name. A record torn by a power failure is
// the last one and incomplete; any other unreadable record is damage.
func CheckManifest(disk vfs.FS, what, dir string) error {
	name, err := atomicfs.ReadMarker(disk, dir, "manifest")
	if err != nil || name == "" {
		return nil // a new database, or Pebble reports the error
	}
	file, err := disk.Open(disk.PathJoin(dir, name))
	if err != nil {
		return nil // Pebble reports the error
	}
	text, err := io.ReadAll(file)
	_ = file.Close() // opened for reading only
	if err != nil {
		return fmt.Errorf("read the manifest of the %s in %s: %w", what, dir, err)
	}
	if at, damaged := damagedRecord(text); damaged {
		return fmt.Errorf("%s in %s is damaged and was not touched: %s has a record at offset %d that cannot be read; restore a backup", what, dir, name, at)
	}
	return nil
}

// damagedRecord returns the offset of the first unreadable chunk, and whether that is damage rather than a torn end.
func damagedRecord(text []byte) (at int, damaged bool) {
	for at < len(text) {
		if rest := manifestBlock - at%manifestBlock; rest < chunkHeader {
			at += rest
			continue
		}
		length := chunkAt(text, at)
		if length == 0 {
			return at, !torn(text[at:]) || followed(text, at)
		}
		at += length
	}
	return at, false
}

// chunkAt returns the length of the chunk at an offset, including its header; 0 if there is no valid chunk.
func chunkAt(text []byte, at int) int {
	end := min(len(text), at-at%manifestBlock+manifestBlock)
	if at+chunkHeader > end {
		return 0
	}
	length := int(binary.LittleEndian.Uint16(text[at+4:]))
	position := text[at+6]
	if position == 0 || position > lastPosition || at+chunkHeader+length > end {
		return 0
	}
	if binary.LittleEndian.Uint32(text[at:]) != checksum(text[at+6:at+chunkHeader+length]) {
		return 0
	}
	return chunkHeader + length
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns RocksDB's masked CRC-32C.
func checksum(p []byte) uint32 { return rotated(crc32.Checksum(p, castagnoli)) }

func rotated(c uint32) uint32 { return bits.RotateLeft32(c, 17) + 0xa282ead8 }

// minHole is a number of zero bytes that no record ends with. Such a hole was allocated and never written.
const minHole = 64

// torn reports whether the last chunk of a file was written incompletely: it extends past the end of the file, or ends with
// a hole.
func torn(rest []byte) bool {
	if len(rest) < chunkHeader {
		return true
	}
	length := int(binary.LittleEndian.Uint16(rest[4:]))
	if chunkHeader+length > len(rest) {
		return !wholeAtAnyLength(rest)
	}
	hole := make([]byte, minHole)
	return bytes.HasSuffix(rest[:chunkHeader+length], hole) || bytes.Count(rest, []byte{0}) == len(rest)
}

// wholeAtAnyLength reports whether the checksum fits some prefix of the remaining bytes: then only the length field is
// damaged.
func wholeAtAnyLength(rest []byte) bool {
	want := binary.LittleEndian.Uint32(rest)
	sum := uint32(0)
	for i, b := range rest[6:] {
		sum = crc32.Update(sum, castagnoli, []byte{b})
		if i > 0 && rotated(sum) == want {
			return true
		}
	}
	return false
}

// followed reports whether a valid chunk follows the unreadable one at an offset. Its length may be damaged, so every offset
// up to the end of the next block is tried; after that, chunks start at block boundaries.
func followed(text []byte, at int) bool {
	near := min(len(text), at-at%manifestBlock+2*manifestBlock)
	for next := at + 1; next < near; next++ {
		if chunkAt(text, next) > chunkHeader {
			return true
		}
	}
	for next := near; next < len(text); next += manifestBlock {
		if chunkAt(text, next) > chunkHeader {
			return true
		}
	}
	return false
}
