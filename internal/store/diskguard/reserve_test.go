package diskguard_test

import (
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

const gib = 1 << 30

// TestParseReserve_Values_ReturnsBytes applies sizes and percentages to a volume of 100 GiB.
func TestParseReserve_Values_ReturnsBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"": 5 * gib, "auto": 5 * gib, "AUTO": 5 * gib, "0": 0, "0%": 0, "5%": 5 * gib, "2.5 %": 5 * gib / 2, "512MiB": 512 << 20, "512m": 512 << 20,
		"2G": 2 * gib, "1.5GiB": 3 * gib / 2, "1GB": 1e9, "1073741824": gib, "1024 B": 1024, "64KiB": 64 << 10, "1T": 1 << 40,
	} {
		r, err := diskguard.ParseReserve(text)
		if got := r.Of(100 * gib); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

// TestParseReserve_Invalid_NamesText: the error contains the invalid text.
func TestParseReserve_Invalid_NamesText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"-1", "-5%", "100%", "101%", "%", "x", "1x", "GiB", "1e9", "0x10", "1.2.3", "NaN", "inf", "+1", "99999999999TiB", "5%%"} {
		if r, err := diskguard.ParseReserve(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %+v, %v, want an error that names it", text, r, err)
		}
	}
}

// TestReserve_Default_ScalesWithVolume: the default never takes most of a small volume, and grows with the volume.
func TestReserve_Default_ScalesWithVolume(t *testing.T) {
	t.Parallel()
	var auto diskguard.Reserve
	for total, want := range map[uint64]uint64{
		96 << 20: 12 << 20, gib: gib / 8, 4 * gib: gib / 2, 8 * gib: gib, 10 * gib: gib, 20 * gib: gib, 1000 * gib: 50 * gib,
	} {
		if got := auto.Of(total); got/(1<<20) != want/(1<<20) {
			t.Errorf("of %s: got %s, want %s", diskguard.Size(total), diskguard.Size(got), diskguard.Size(want))
		}
	}
	last := uint64(0)
	for total := uint64(1 << 20); total < 1<<42; total += total / 7 {
		if got := auto.Of(total); got < last || got > total/8 {
			t.Fatalf("of %d: got %d after %d", total, got, last)
		} else {
			last = got
		}
	}
}

// TestReserve_CheckVolume_RejectsUselessReserve: only reserves that leave no room for messages are rejected.
func TestReserve_CheckVolume_RejectsUselessReserve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		total uint64
		want  string
	}{
		{"auto", 96 << 20, ""},
		{"auto", 32 << 20, "at least 64 MiB"},
		{"1GiB", 96 << 20, "1 GiB are reserved, but the volume of data has only 96 MiB"},
		{"96MiB", 96 << 20, "no message could ever be accepted"},
		{"99%", 96 << 20, ""},
		{"0", 64 << 20, ""},
	} {
		r, err := diskguard.ParseReserve(c.text)
		if err != nil {
			t.Fatal(err)
		}
		err = r.CheckVolume("data", c.total)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: got %v, want %q", c.text, diskguard.Size(c.total), err, c.want)
		}
	}
}
