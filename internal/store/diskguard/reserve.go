package diskguard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Reserve is the free space that new messages leave alone: compactions, settles and the operator need it. The zero value is
// the default rule.
type Reserve struct {
	set     bool
	bytes   uint64
	percent float64 // of the volume; counts instead of bytes where it is above 0
}

// The default rule is 5 % of the volume, and at least 1 GiB or an eighth of the volume, whichever is smaller. So volumes
// from 20 GiB reserve 5 %, those from 8 GiB reserve 1 GiB, and smaller ones an eighth: eight times
// the memtable of such a volume (see MemTable).
const (
	defaultPercent = 5
	leastReserve   = 1 << 30 // bytes
	smallDivisor   = 8
)

// SmallestVolume is the size in bytes below which a database has no room to turn its log and its tables.
const SmallestVolume = 64 << 20

// ReserveBytes returns a reserve of exactly n bytes.
func ReserveBytes(n uint64) Reserve { return Reserve{set: true, bytes: n} }

// units are in the order in which a suffix is looked for.
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

// ParseReserve reads "auto" or the empty string (the default rule), a size such as 512MiB, 2G or 1073741824, or a share of
// the volume such as 5%.
func ParseReserve(text string) (Reserve, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "auto") {
		return Reserve{}, nil
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := parseNumber(number)
		if err != nil || percent >= 100 {
			return Reserve{}, fmt.Errorf("%q is not a share of the volume from 0%% to below 100%%", text)
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
	return Reserve{}, fmt.Errorf("%q is neither a size such as 512MiB or 2GiB, nor a share of the volume such as 5%%, nor auto", text)
}

// UnmarshalText implements encoding.TextUnmarshaler by ParseReserve.
func (r *Reserve) UnmarshalText(text []byte) (err error) {
	*r, err = ParseReserve(string(text))
	return err
}

// parseNumber reads a decimal number without sign and exponent.
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
		return max(total/100*defaultPercent, min(leastReserve, total/smallDivisor))
	case r.percent > 0:
		return uint64(float64(total) / 100 * r.percent)
	default:
		return r.bytes
	}
}

// CheckVolume returns an error if a database on a volume of total bytes could never take a message.
func (r Reserve) CheckVolume(dir string, total uint64) error {
	switch reserve := r.Of(total); {
	case total < SmallestVolume:
		return fmt.Errorf("the volume of %s has only %s: a node needs at least %s", dir, Size(total), Size(SmallestVolume))
	case reserve >= total:
		return fmt.Errorf("%s are reserved, but the volume of %s has only %s, so no message could ever be taken", Size(reserve), dir, Size(total))
	}
	return nil
}

// memTables is how many of its memtables a volume holds. A compaction reads eight of them or more, and its result lies beside them
// until it has ended.
const memTables = 64

// MemTable returns the size in bytes of memtables on a volume of total bytes: at most most, less on small volumes.
func MemTable(total, most uint64) uint64 {
	const least = 1 << 20
	return max(min(total/memTables, most), min(least, most))
}

// BaseLevel returns the size in bytes of the level that most compactions rewrite, likewise.
func BaseLevel(total, most uint64) uint64 { return min(total/smallDivisor/2, most) }

// Size writes bytes in binary units for people.
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
