package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

var _ esh3ar.Verifier = (*Store)(nil)

// Verify realises esh3ar.Verifier. It walks every kind of row once, in one published view, and asks of each row what the
// other rows must say; so its memory does not grow with the store. Each check is a function of one row and a source, and
// its faults carry the rows that would mend them: a repair runs the check again on the database, in the committer, and
// writes what it finds then.
func (s *Store) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.Survey, error) {
	v, err := s.read()
	if err != nil {
		return esh3ar.Survey{}, err
	}
	defer v.release()
	if err := s.checkTables(ctx); err != nil {
		return esh3ar.Survey{}, err
	}
	w := &verification{store: s, ctx: ctx, view: v, repair: repair, found: found, events: newEventSums()}
	if _, w.events.since, err = readTrimmed(v.snapshot); err != nil {
		w.events.since = math.MaxInt64 // its own check says so
	}
	if err := w.walk(); err != nil {
		return w.survey, err
	}
	return w.survey, nil
}

// shownPlaces bounds the lines of an error about damaged tables.
const shownPlaces = 20

// checkTables returns an error with a line for each damaged table. The rows are not walked then: a walk ends at the first block
// that cannot be read, and rows elsewhere that refer to it would be called broken one by one.
func (s *Store) checkTables(ctx context.Context) error {
	places, err := diskguard.CheckTables(ctx, s.opts.FS, s.dir, s.pebbleOptions())
	if err != nil {
		return esh3ar.Errorf(esh3ar.Abandoned, "verify: %w", err)
	}
	var lines []error
	for i, place := range places {
		if i == shownPlaces {
			lines = append(lines, fmt.Errorf("and %d more damaged tables", len(places)-i))
			break
		}
		lines = append(lines, errors.New(diskguard.DamageText("store", s.dir, place)))
		s.damage.Add(place)
	}
	if len(lines) == 0 {
		return nil
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%w", errors.Join(lines...))
}

// verification is one run of Verify.
type verification struct {
	store  *Store
	ctx    context.Context //nolint:containedctx // of the call
	view   *view
	repair bool
	found  func(esh3ar.Finding)
	survey esh3ar.Survey
	events *eventSums
}

// verifySource is what checks read from: a view, or the database in the committer.
type verifySource interface {
	source
	iterable
}

// flaw is a broken invariant with what mends it: rows to write, and rows to set aside.
type flaw struct {
	esh3ar.Finding
	set   []pair
	aside [][]byte
	log   *eventRow // an event to add
}

type pair struct{ key, row []byte }

// check looks at one row.
type check func(src verifySource, key, row []byte) []flaw

// checks has every kind of row that there is, in the order of the walk.
func (w *verification) checks() []kindCheck {
	return []kindCheck{
		{bodyKey, &w.survey.Messages, w.body},
		{parkedKey, &w.survey.Scheduled, w.body},
		{idKey, nil, checkID},
		{stepsKey, nil, checkSteps},
		{parkedSteps, nil, checkSteps},
		{waitingKey, &w.survey.Waiting, checkWaiting},
		{listKey, nil, checkList},
		{counterKey, &w.survey.Recipients, checkCounter},
		{deadKey, &w.survey.DeadLetters, checkDead},
		{taskKey, &w.survey.Tasks, checkTask},
		{idemKey, &w.survey.Keys, checkIdem},
		{eventKey, &w.survey.Events, w.event},
		{trimmedKey, nil, checkTrimmed},
		{businessKey, nil, checkAccounts},
		{apiKeyKey, nil, checkAccounts},
		{ownedKey, nil, checkAccounts},
		{settingKey, nil, nil},
		{revokedKey, nil, checkAccounts},
		{planKey, nil, checkAccounts},
		{usageKey, nil, checkAccounts},
		{formatKey, nil, nil},
		{asideKey, &w.survey.Aside, nil},
	}
}

type kindCheck struct {
	kind  byte
	count *int
	check check // nil: nothing can be said of such a row
}

// walk looks at everything. What belongs to no kind lies between the kinds.
func (w *verification) walk() error {
	known := map[byte]bool{}
	for _, k := range w.checks() {
		known[k.kind] = true
		if err := w.rows([]byte{k.kind}, []byte{k.kind + 1}, k.count, k.check); err != nil {
			return err
		}
	}
	for kind := range 256 {
		if known[byte(kind)] {
			continue
		}
		upper := successor([]byte{byte(kind)})
		if err := w.rows([]byte{byte(kind)}, upper, nil, checkUnknown); err != nil {
			return err
		}
	}
	return w.missingEvents()
}

func checkUnknown(_ verifySource, key, _ []byte) []flaw {
	return []flaw{{Finding: finding("unknown_row", key, "no version of the store has rows like this"), aside: [][]byte{key}}}
}

// rows runs a check over a range.
func (w *verification) rows(lower, upper []byte, count *int, c check) error {
	it, err := w.view.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError("verify", err)
	}
	defer it.Close()
	for valid := it.First(); valid; valid = it.Next() {
		if err := w.ctx.Err(); err != nil {
			return esh3ar.Errorf(esh3ar.Abandoned, "verify: %w", context.Cause(w.ctx))
		}
		if count != nil {
			*count++
		}
		if c == nil {
			continue
		}
		if faults := c(w.view.snapshot, it.Key(), it.Value()); len(faults) > 0 {
			if err := w.report(append([]byte(nil), it.Key()...), c, faults); err != nil {
				return err
			}
		}
	}
	if err := it.Error(); err != nil {
		return readError("verify", err)
	}
	return nil
}

// report tells of a row's faults, after mending them where that is asked.
func (w *verification) report(key []byte, c check, faults []flaw) error {
	if w.repair {
		mended, err := w.store.mend(w.ctx, key, c)
		if err != nil {
			return err
		}
		for i := range faults {
			faults[i].Action = mended[faults[i].Check]
		}
	}
	for i := range faults {
		if faults[i].Action == "" {
			faults[i].Action = esh3ar.Reported
		}
		w.survey.Findings++
		w.found(faults[i].Finding)
	}
	return nil
}

// finding is about one row.
func finding(check string, key []byte, format string, args ...any) esh3ar.Finding {
	return esh3ar.Finding{Check: check, Where: rowName(key), Detail: fmt.Sprintf(format, args...)}
}

// rowName is the key for people: its kind and the rest in hexadecimal.
func rowName(key []byte) string {
	if len(key) == 0 {
		return "empty key"
	}
	return fmt.Sprintf("%c/%x", key[0], key[1:])
}

// of says which message a finding is about.
func of(f esh3ar.Finding, m *esh3ar.Message) esh3ar.Finding {
	f.Message, f.Recipient, f.Seq = m.ID, m.Recipient, m.Seq
	return f
}

// unreadable is a row that cannot be taken apart, or asked about.
func unreadable(name string, key []byte, err error) []flaw {
	return []flaw{{Finding: finding(name, key, "%s", err), aside: [][]byte{key}}}
}
