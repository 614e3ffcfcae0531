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

// Verify implements esh3ar.Verifier. It walks the rows of each type once, in one published view, and compares every row with
// the rows it refers to, so memory use does not grow with the store. A check is a function of one row and a source. Its
// faults carry the rows that repair them: a repair repeats the check on the database inside the committer, and writes what
// that check returns.
func (s *Store) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.VerifyReport{}, err
	}
	defer v.release()
	if err := s.checkTables(ctx); err != nil {
		return esh3ar.VerifyReport{}, err
	}
	w := &verification{store: s, ctx: ctx, view: v, repair: repair, found: found, events: newEventSums()}
	if _, w.events.since, err = readTrimmed(v.snapshot); err != nil {
		w.events.since = math.MaxInt64 // reported by checkTrimmed
	}
	if err := w.walk(); err != nil {
		return w.survey, err
	}
	return w.survey, nil
}

// maxDamageLines bounds the lines of an error about damaged tables.
const maxDamageLines = 20

// checkTables returns an error with a line for each damaged table. Verify does not walk the rows then: the walk would end at
// the first unreadable block, and rows elsewhere that refer to lost rows would be reported one by one.
func (s *Store) checkTables(ctx context.Context) error {
	places, err := diskguard.CheckTables(ctx, s.db, s.opts.FS, s.dir, s.pebbleOptions())
	if err != nil {
		return esh3ar.Errorf(esh3ar.Abandoned, "verify: %w", err)
	}
	var lines []error
	for i, place := range places {
		if i == maxDamageLines {
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
	ctx    context.Context // context of the call
	view   *view
	repair bool
	found  func(esh3ar.Finding)
	survey esh3ar.VerifyReport
	events *eventSums
}

// verifySource is where checks read from: a view, or the database inside the committer.
type verifySource interface {
	source
	iterable
}

// fault is a violated invariant and its repair: rows to write, rows to set aside, and an event to log.
type fault struct {
	esh3ar.Finding
	set        []rowWrite
	quarantine [][]byte
	event      *eventRow // event to append to the log; nil for none
}

type rowWrite struct{ key, row []byte }

// check returns the faults of one row.
type check func(src verifySource, key, row []byte) []fault

// checks returns a check for every row type, in the order of the walk.
func (w *verification) checks() []kindCheck {
	return []kindCheck{
		{bodyKey, &w.survey.Messages, w.body},
		{unnumberedBodyKey, &w.survey.Scheduled, w.body},
		{idKey, nil, checkID},
		{stepsKey, nil, checkSteps},
		{unnumberedStepsKey, nil, checkSteps},
		{undeliveredKey, &w.survey.Waiting, checkUndelivered},
		{listKey, nil, checkList},
		{counterKey, &w.survey.Recipients, checkCounter},
		{deadLetterKey, &w.survey.DeadLetters, checkDeadLetter},
		{taskKey, &w.survey.Tasks, checkTask},
		{idemKey, &w.survey.Keys, checkIdem},
		{eventKey, &w.survey.Events, w.event},
		{trimmedKey, nil, checkTrimmed},
		{businessKey, nil, checkAccounts},
		{apiKeyKey, nil, checkAccounts},
		{keyIndexKey, nil, checkAccounts},
		{settingKey, nil, nil},
		{revocationKey, nil, checkAccounts},
		{planKey, nil, checkAccounts},
		{usageKey, nil, checkAccounts},
		{formatKey, nil, nil},
		{quarantineKey, &w.survey.SetAside, nil},
	}
}

type kindCheck struct {
	kind  byte
	count *int
	check check // nil if there is nothing to check
}

// walk checks all rows. Rows of unknown types lie between the known ones.
func (w *verification) walk() error {
	known := map[byte]bool{}
	for _, k := range w.checks() {
		known[k.kind] = true
		if err := w.checkRange([]byte{k.kind}, []byte{k.kind + 1}, k.count, k.check); err != nil {
			return err
		}
	}
	for kind := range 256 {
		if known[byte(kind)] {
			continue
		}
		upper := successor([]byte{byte(kind)})
		if err := w.checkRange([]byte{byte(kind)}, upper, nil, checkUnknown); err != nil {
			return err
		}
	}
	return w.checkMissingEvents()
}

func checkUnknown(_ verifySource, key, _ []byte) []fault {
	return []fault{{Finding: finding("unknown_row", key, "unknown row type"), quarantine: [][]byte{key}}}
}

// checkRange runs a check over a key range and adds the number of rows to count, if it is not nil.
func (w *verification) checkRange(lower, upper []byte, count *int, c check) error {
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

// report passes a row's faults to the caller of Verify, after repairing them if requested.
func (w *verification) report(key []byte, c check, faults []fault) error {
	if w.repair {
		mended, err := w.store.repair(w.ctx, key, c)
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

// finding returns a finding about one row.
func finding(check string, key []byte, format string, args ...any) esh3ar.Finding {
	return esh3ar.Finding{Check: check, Where: rowName(key), Detail: fmt.Sprintf(format, args...)}
}

// rowName formats a key for operators: its type, then the rest in hexadecimal.
func rowName(key []byte) string {
	if len(key) == 0 {
		return "empty key"
	}
	return fmt.Sprintf("%c/%x", key[0], key[1:])
}

// withMessage returns the finding with the message it is about.
func withMessage(f esh3ar.Finding, m *esh3ar.Message) esh3ar.Finding {
	f.Message = m.ID
	f.Recipient = m.Recipient
	f.Seq = m.Seq
	return f
}

// unreadable returns the fault of a row that cannot be decoded.
func unreadable(name string, key []byte, err error) []fault {
	return []fault{{Finding: finding(name, key, "%s", err), quarantine: [][]byte{key}}}
}
