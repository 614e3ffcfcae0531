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

// Damage collects the places of a database that turned out to be damaged while it was open. A reader that meets one gets an
// error, and the database goes on; the operator gets one log line for each place.
type Damage struct {
	What string // of the database: store or spill
	Dir  string
	Log  *slog.Logger

	mu struct {
		sync.Mutex
		places map[string]struct{} // at most maxPlaces
		first  string
	}
}

// maxPlaces bounds what is remembered and logged: a disk that fails as a whole has damage everywhere.
const maxPlaces = 100

// Note adds a damaged place and logs it, once: the file and what pebble found there.
func (d *Damage) Note(path string, err error) {
	place := Place(path, err)
	if d.Add(place) {
		d.Log.Error(DamageText(d.What, d.Dir, place))
	}
}

// Add adds a damaged place. It reports whether the place was new.
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

// Err returns the first damaged place and what to do; nil if no damage was met.
func (d *Damage) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.places) == 0 {
		return nil
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s", DamageText(d.What, d.Dir, d.mu.first))
}

// Places returns how many damaged places were met, at most 100.
func (d *Damage) Places() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.places)
}

// DamageText is the line for an operator about a damaged place.
func DamageText(what, dir, place string) string {
	return fmt.Sprintf("the %s in %s is damaged: %s; stop the node and restore a backup: what this place held cannot be read, and verify --repair cannot make it again", what, dir, place)
}

// background is the fault of a compaction that met damage: it names the place, where a reader of the same block has.
func (d *Damage) background(err error) error {
	d.mu.Lock()
	place := d.mu.first
	d.mu.Unlock()
	if place == "" {
		place = "a compaction met " + plainText(err.Error())
	}
	return errors.New(DamageText(d.What, d.Dir, place))
}

var (
	blockAt = regexp.MustCompile(`block (\d+)/(\d+)`)
	fileIs  = regexp.MustCompile(`(backing )?file (\d{6,})( error)?: `)
	pebbles = strings.NewReplacer("pebble/table: ", "", "pebble: ", "", "<corruption detail carrier>", "", "\n", " ")
)

// plainText makes what pebble says of an error one line without the names of its packages and of the types it wraps.
func plainText(text string) string {
	text = fileIs.ReplaceAllString(strings.TrimSpace(pebbles.Replace(text)), "$2.sst: ")
	return blockAt.ReplaceAllString(text, "block of $2 bytes at offset $1")
}

// Plain is an error of pebble whose text is one plain line.
func Plain(err error) error {
	if err == nil {
		return nil
	}
	return &line{err}
}

// Place names a damaged place in one line: file, offset where it is known, and what is wrong.
func Place(path string, err error) string {
	name := filepath.Base(path) + ": "
	return name + strings.TrimPrefix(plainText(err.Error()), name)
}
