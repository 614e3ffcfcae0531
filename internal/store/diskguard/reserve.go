package diskguard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Reserve is the free space that new messages must not use: compactions, settles and the operator need it. The zero value is
// the default rule.
type Reserve struct {
	set     bool // false: the default rule
	bytes   uint64
	percent float64 // percentage of the volume; used instead of bytes if positive
}

// The default rule reserves 5 % of the volume, but at least 1 GiB or an eighth of the volume, whichever is smaller. Volumes
// from 20 GiB reserve 5 %, those from 8 to 20 GiB reserve 1 GiB, and smaller ones an eighth: eight times the memtable of
// such a volume (see MemTable).
const (
	defaultPercent = 5
	minReserve     = 1 << 30 // bytes
	smallDivisor   = 8
)

// SmallestVolume is the size of the smallest usable volume, in bytes. Below it there is no room to rotate the WAL and the
// tables.
const SmallestVolume = 64 << 20

// ReserveBytes returns a reserve of exactly n bytes.
func ReserveBytes(n uint64) Reserve { return Reserve{set: true, bytes: n} }

// units lists the suffixes of sizes, in the order in which they are tried.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"K", 1 << 10},
	{"M", 1 << 20},
	{"G", 1 << 30},
	{"T", 1 << 40},
	{"B", 1},
	{"", 1},
}

// ParseReserve parses a reserve: "auto" or the empty string for the default rule, a size such as 512MiB, 2G or 1073741824,
// or a percentage of the volume such as 5%.
func ParseReserve(text string) (Reserve, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "auto") {
		return Reserve{}, nil
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := parseNumber(number)
		if err != nil || percent >= 100 {
			return Reserve{}, fmt.Errorf("%q is not a percentage of the volume from 0%% to below 100%%", text)
		}
		return Reserve{set: true, percent: percent}, nil
	}
	for _, unit := range units {
		if len(text) < len(unit.name) || !strings.EqualFold(text[len(text)-len(unit.name):], unit.name) {
			continue
		}
		size, err := parseNumber(text[:len(text)-len(unit.name)])
		if err != nil || size*unit.bytes >= math.MaxInt64 {
			break
		}
		return ReserveBytes(uint64(size * unit.bytes)), nil
	}
	return Reserve{}, fmt.Errorf("%q is neither a size such as 512MiB or 2GiB, nor a percentage of the volume such as 5%%, nor auto", text)
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseReserve.
func (r *Reserve) UnmarshalText(text []byte) error {
	var err error
	*r, err = ParseReserve(string(text))
	return err
}

// parseNumber parses a decimal number without sign and exponent.
func parseNumber(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// Of returns the reserve in bytes on a volume of total bytes.
func (r Reserve) Of(total uint64) uint64 {
	switch {
	case !r.set:
		return max(total/100*defaultPercent, min(minReserve, total/smallDivisor))
	case r.percent > 0:
		return uint64(float64(total) / 100 * r.percent)
	default:
		return r.bytes
	}
}

// CheckVolume returns an error if a database on a volume of total bytes could never accept a message.
func (r Reserve) CheckVolume(dir string, total uint64) error {
	if reserve := r.Of(total); total < SmallestVolume {
		return fmt.Errorf("the volume of %s has only %s: a node needs at least %s", dir, Size(total), Size(SmallestVolume))
	} else if reserve >= total {
		return fmt.Errorf("%s are reserved, but the volume of %s has only %s, so no message could ever be accepted", Size(reserve), dir, Size(total))
	}
	return nil
}

// memTables is the number of memtables that must fit on a volume. A compaction reads at least eight of them, and its
// output needs the same space again until it ends.
const memTables = 64

// MemTable returns the memtable size in bytes for a volume of total bytes: most, or less on small volumes.
func MemTable(total, most uint64) uint64 {
	const least = 1 << 20
	return max(min(total/memTables, most), min(least, most))
}

// BaseLevel returns the target size in bytes of the level that most compactions rewrite: most, or less on small volumes.
func BaseLevel(total, most uint64) uint64 { return min(total/smallDivisor/2, most) }

// Size formats a number of bytes in binary units.
func Size(bytes uint64) string {
	unit := 0
	value := float64(bytes)
	for value >= 1024 && unit < 4 {
		value /= 1024
		unit++
	}
	name := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}[unit]
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', min(unit, 1), 64), ".0") + " " + name
}
