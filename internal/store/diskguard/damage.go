package diskguard

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/esh3artech/esh3ar"
)

// Damage collects the damaged places found in an open database. A reader that hits one gets an error, and the database stays
// open. The operator gets one log line per place.
type Damage struct {
	Kind string // kind of database in texts: store or spill
	Dir  string // directory of the database
	Log  *slog.Logger

	mu struct {
		sync.Mutex
		places map[string]struct{} // at most maxPlaces
		first  string
	}
}

// maxPlaces bounds the places remembered and logged. A disk that fails completely has damage everywhere.
const maxPlaces = 100

// Report records a damaged place, and logs it the first time: the file and Pebble's description.
func (d *Damage) Report(path string, err error) {
	place := Place(path, err)
	if d.Add(place) {
		d.Log.Error(DamageText(d.Kind, d.Dir, place))
	}
}

// Add records a damaged place, and reports whether it was new. It ignores places beyond maxPlaces.
func (d *Damage) Add(place string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.mu.places[place]
	known = known || len(d.mu.places) >= maxPlaces
	if !known {
		if d.mu.places == nil {
			d.mu.places, d.mu.first = map[string]struct{}{}, place
		}
		d.mu.places[place] = struct{}{}
	}
	return !known
}

// Err returns an error for the first damaged place, with the remedy; nil if no damage was found.
func (d *Damage) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.places) == 0 {
		return nil
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s", DamageText(d.Kind, d.Dir, d.mu.first))
}

// Places returns the number of damaged places found, at most maxPlaces.
func (d *Damage) Places() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.places)
}

// DamageText returns the message for an operator about a damaged place.
func DamageText(what, dir, place string) string {
	return fmt.Sprintf("the %s in %s is damaged: %s; stop the node and restore a backup: the data in this place cannot be read, and verify --repair cannot restore it", what, dir, place)
}

// background returns the fault of a compaction that hit damage. It names the place if a reader has found it before.
func (d *Damage) background(err error) error {
	d.mu.Lock()
	place := d.mu.first
	d.mu.Unlock()
	if place == "" {
		place = "a compaction found " + plainText(err.Error())
	}
	return errors.New(DamageText(d.Kind, d.Dir, place))
}

var (
	blockAt         = regexp.MustCompile(`block (\d+)/(\d+)`)
	fileIs          = regexp.MustCompile(`(backing )?file (\d{6,})( error)?: `)
	packagePrefixes = strings.NewReplacer("pebble/table: ", "", "pebble: ", "", "<corruption detail carrier>", "", "\n", " ")
)

// plainText turns the text of a Pebble error into one line, without package names and wrapper types.
func plainText(text string) string {
	text = fileIs.ReplaceAllString(strings.TrimSpace(packagePrefixes.Replace(text)), "$2.sst: ")
	return blockAt.ReplaceAllString(text, "block of $2 bytes at offset $1")
}

// Plain returns err with a one-line text; nil if err is nil.
func Plain(err error) error {
	if err == nil {
		return nil
	}
	return &oneLineError{err}
}

// Place describes a damaged place in one line: file, offset if known, and the error.
func Place(path string, err error) string {
	name := filepath.Base(path) + ": "
	return name + strings.TrimPrefix(plainText(err.Error()), name)
}
