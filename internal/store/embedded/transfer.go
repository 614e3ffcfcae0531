package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
)

var _ transfer.Reader = (*Store)(nil)

// transferKind reads the rows of one kind for a copy.
type transferKind struct {
	kind byte
	read func(r *transferReader, key, row []byte) (any, error) // nil row: nothing to copy
}

// transferKinds are the kinds that a copy reads, in its order.
var transferKinds = []transferKind{
	{settingKey, (*transferReader).setting},
	{planKey, readJSON[esh3ar.Plan]},
	{businessKey, readJSON[esh3ar.Business]},
	{apiKeyKey, readJSON[esh3ar.APIKey]},
	{usageKey, (*transferReader).usage},
	{revocationKey, func(_ *transferReader, key, row []byte) (any, error) { return parseRevocation(key, row) }},
	{counterKey, (*transferReader).counter},
	{bodyKey, (*transferReader).message},
	{unnumberedBodyKey, (*transferReader).message},
	{taskKey, (*transferReader).task},
	{idemKey, (*transferReader).key},
	{trimmedKey, (*transferReader).trimmed},
	{eventKey, (*transferReader).event},
}

// transferDerived are the kinds that a copy leaves out: the store that is written makes its own.
var transferDerived = []byte{formatKey, stepsKey, unnumberedStepsKey, idKey, undeliveredKey, deadLetterKey, listKey, keyIndexKey, quarantineKey}

// transferReader is one walk over the store.
type transferReader struct {
	view *view
	now  esh3ar.Time
}

// Rows implements transfer.Reader.
func (s *Store) Rows(ctx context.Context, now esh3ar.Time, each func(row any) error) error {
	v, err := s.acquireView()
	if err != nil {
		return err
	}
	defer v.release()
	r := &transferReader{v, now}
	for _, k := range transferKinds {
		err := scan(v.snapshot, []byte{k.kind}, []byte{k.kind + 1}, func(key, row []byte) error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			read, err := k.read(r, key, row)
			if err != nil {
				return fmt.Errorf("%s: %w", rowName(key), err)
			}
			if read == nil {
				return nil
			}
			return each(read)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func readJSON[T any](_ *transferReader, _, row []byte) (any, error) {
	var value T
	err := json.Unmarshal(row, &value)
	return value, err
}

func (r *transferReader) setting(key, row []byte) (any, error) {
	if name := string(key[1:]); name != settingRevoked {
		return transfer.Setting{Name: name, Value: append([]byte{}, row...)}, nil
	}
	if version := revokedVersion(row); version > 0 {
		return transfer.Revoked{Version: version}, nil
	}
	return nil, nil
}

func (r *transferReader) usage(key, row []byte) (any, error) {
	if len(key) != usageKeyLen {
		return nil, codec.ErrDamaged
	}
	u := esh3ar.Usage{Day: esh3ar.Day(binary.BigEndian.Uint32(key[17:]))}
	copy(u.Business.UUID[:], key[1:])
	err := readUsage(row, &u)
	return u, err
}

func (r *transferReader) counter(key, row []byte) (any, error) {
	if len(key) != 9 || len(row) != 8 {
		return nil, codec.ErrDamaged
	}
	return transfer.Counter{Recipient: esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), Seq: esh3ar.Seq(binary.BigEndian.Uint64(row))}, nil
}

func (r *transferReader) message(key, row []byte) (any, error) {
	m, broken := bodyOf(key, row)
	if broken != nil {
		return nil, codec.ErrDamaged
	}
	done, err := readSteps(r.view.snapshot, locationOf(m), m.ID)
	if err != nil {
		return nil, err
	}
	t := transfer.Message{Message: *m, Progress: done}
	if failed := done.FailedAt(); failed != 0 {
		dead, err := r.view.get(appendDeadLetter(nil, m.Business, failed, m.ID))
		if err != nil {
			return nil, err
		}
		t.Discarded = isDiscarded(dead)
	}
	return t, nil
}

func (r *transferReader) task(key, row []byte) (any, error) {
	t, ok := parseTask(key)
	if !ok {
		return nil, codec.ErrDamaged
	}
	err := decodeTaskRow(row, &t)
	return t, err
}

func (r *transferReader) key(key, row []byte) (any, error) {
	k, err := decodeIdem(row)
	if err != nil {
		return nil, err
	}
	if len(key) != 1+4+16+32 {
		return nil, codec.ErrDamaged
	}
	if k.expires <= r.now {
		return nil, nil
	}
	t := transfer.Key{Fingerprint: k.fingerprint, ExpiresAt: k.expires, Batch: k.batch, Receipts: k.receipts}
	copy(t.Business.UUID[:], key[5:])
	copy(t.Sum[:], key[21:])
	return t, nil
}

func (r *transferReader) trimmed(_, _ []byte) (any, error) {
	_, since, err := readTrimmed(r.view.snapshot)
	return transfer.Trimmed{Since: since}, err
}

func (r *transferReader) event(_, row []byte) (any, error) {
	e, err := decodeEvent(row)
	if err != nil {
		return nil, err
	}
	full, err := fullEvent(r.view, &e)
	if err != nil {
		return nil, err
	}
	return transfer.Event{Entry: lifecycle.Entry{
		Message: e.id, Business: e.business, Recipient: e.recipient, Version: e.version, Step: e.Step,
		Annotated: full.CorrelationID != "" || len(full.Metadata) > 0,
	}}, nil
}

// transferCommit is the size of a commit of a copy, in bytes.
const transferCommit = 4 << 20

// TransferWriter fills an empty store.
type TransferWriter struct {
	store    *Store
	staged   *stagedBatch
	position uint64 // of the last event
}

var _ transfer.Writer = (*TransferWriter)(nil)

// Fill returns a writer of an empty store that nothing else uses. The store must be opened again before it is used.
func (s *Store) Fill() *TransferWriter { return &TransferWriter{store: s, staged: s.blank()} }

func (s *Store) blank() *stagedBatch { return newStagedBatch(&committer{store: s}, 0) }

// Put implements transfer.Writer.
func (w *TransferWriter) Put(_ context.Context, row any) error {
	if err := w.put(row); err != nil {
		return err
	}
	if w.staged.batch.Len() < transferCommit {
		return nil
	}
	return w.commit()
}

func (w *TransferWriter) put(row any) error {
	st := w.staged
	switch r := row.(type) {
	case transfer.Setting:
		return st.set(appendSetting(nil, r.Name), r.Value)
	case transfer.Revoked:
		return st.set(appendSetting(nil, settingRevoked), appendUint64(nil, r.Version))
	case esh3ar.Plan:
		return w.json(appendPlan(nil, r.Name), r)
	case esh3ar.Business:
		return w.json(appendBusiness(nil, r.ID), r)
	case esh3ar.APIKey:
		return errors.Join(st.set(appendKeyIndex(nil, r.Business, r.ID), r.Hash[:]), w.json(appendAPIKey(nil, r.Hash), r))
	case esh3ar.Usage:
		return st.set(appendUsage(nil, r.Business, r.Day), appendUint64(appendUint64(nil, uint64(r.Messages)), uint64(r.Refused)))
	case esh3ar.Revocation:
		return w.json(appendRevocation(nil, r.Recipient, r.Device), revocationRow{r.Version, r.At})
	case transfer.Counter:
		return st.set(appendCounter(nil, r.Recipient), appendUint64(nil, uint64(r.Seq)))
	case transfer.Message:
		return w.message(&r)
	case esh3ar.Task:
		return st.set(appendTask(nil, r.Due, r.Kind, r.Message), appendTaskRow(nil, r.Life, r.Recipient))
	case transfer.Key:
		k := idemRow{fingerprint: r.Fingerprint, expires: r.ExpiresAt, batch: r.Batch, receipts: r.Receipts}
		return st.set(appendIdem(nil, idemDay(r.ExpiresAt), idemScope{r.Business, r.Sum}), k.append(nil))
	case transfer.Trimmed:
		return st.set([]byte{trimmedKey}, appendUint64(appendUint64(nil, 0), uint64(r.Since)))
	case transfer.Event:
		return w.event(&r)
	default:
		return fmt.Errorf("a row of an unknown kind: %T", row)
	}
}

func (w *TransferWriter) json(key []byte, value any) error {
	row, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return w.staged.set(key, row)
}

func (w *TransferWriter) message(m *transfer.Message) error {
	st, where := w.staged, locationOf(&m.Message)
	if err := st.writeMessage(&m.Message, where); err != nil {
		return err
	}
	if len(m.Progress.List) > 1 || m.Progress.Attempts > 0 {
		if err := st.set(appendStepsKey(nil, m.Recipient, m.Seq, m.ID), m.Progress.Append(nil)); err != nil {
			return err
		}
	}
	if m.Seq != 0 && !m.Progress.Stage().Status.Ends() {
		if err := st.set(appendUndelivered(nil, m.Recipient, m.Priority, m.Seq), nil); err != nil {
			return err
		}
	}
	if failed := m.Progress.FailedAt(); failed != 0 {
		return st.set(appendDeadLetter(nil, m.Business, failed, m.ID), deadLetterRow(m.Discarded))
	}
	return nil
}

// event adds an event to the log. It has no seq: readers find its message by the id.
func (w *TransferWriter) event(e *transfer.Event) error {
	w.position++
	row := eventRow{id: e.Message, business: e.Business, recipient: e.Recipient, version: e.Version, Step: e.Step}
	return w.staged.set(appendEvent(nil, w.position), row.append(nil))
}

// commit makes what was put durable.
func (w *TransferWriter) commit() error {
	if w.staged.batch.Empty() {
		return nil
	}
	if err := (&committer{store: w.store}).write(w.staged.batch); err != nil {
		return err
	}
	_ = w.staged.batch.Close() // only gives memory back
	w.staged = w.store.blank()
	return nil
}

// Flush implements transfer.Writer.
func (w *TransferWriter) Flush(context.Context) error {
	return w.commit()
}

// DropSetting deletes a setting.
func (s *Store) DropSetting(ctx context.Context, name string) error {
	return s.write(ctx, func(st *stagedBatch) error { return st.setOverlay(appendSetting(nil, name), nil) })
}
