package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// Outcomes of append_calls, per call.
const (
	appendStored    = 0 // stored
	appendKeyKnown  = 1 // not stored: another call has used its key
	appendIDKnown   = 2 // not stored: its messages are stored already; drained calls only
	appendDuplicate = 3 // stored as canceled, because another call has used its key; drained calls only
)

var appendCalls = statement{"append", callSQL("outcomes, numbers, seqs", "append_calls", appendArguments(nil, nil, 0))}

// Append implements esh3ar.Appender. Calls that share a key with an earlier call of the batch are appended in a second
// statement.
func (s *Store) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if err := checkCalls(calls); err != nil {
		return nil, err
	}
	answers := make([]esh3ar.Answer, len(calls))
	first, twins := splitConflicting(calls)
	if err := s.appendAll(ctx, calls, first, answers); err != nil {
		return nil, err
	}
	if len(twins) == 0 {
		return answers, nil
	}
	rest := make([]*esh3ar.Call, len(twins))
	for i, n := range twins {
		rest[i] = calls[n]
	}
	later, err := s.Append(ctx, rest) // the keys of these calls are known now
	if err != nil {
		return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "append the second call of a key: %w", err) // the first calls are stored
	}
	for i, n := range twins {
		answers[n] = later[i]
	}
	return answers, nil
}

// checkCalls rejects calls that no commit could store.
func checkCalls(calls []*esh3ar.Call) error {
	for _, c := range calls {
		for i, m := range c.Messages {
			if m.Priority >= esh3ar.Priorities {
				return esh3ar.Errorf(esh3ar.Invalid, "append %s: invalid priority", m.ID)
			}
			if c.Drained && slices.ContainsFunc(c.Messages[:i], func(other *esh3ar.Message) bool { return other.ID == m.ID }) {
				return esh3ar.Errorf(esh3ar.Invalid, "append %s: its id is in the call twice", m.ID)
			}
		}
	}
	return nil
}

// splitConflicting separates calls that conflict with an earlier call of the batch: they have the same key, or are drained and
// have a message of the same id.
func splitConflicting(calls []*esh3ar.Call) (first, twins []int) {
	var seen map[any]bool // keys are a keyScope or an esh3ar.MessageID; nil if no calls of the batch can conflict
	if slices.ContainsFunc(calls, func(c *esh3ar.Call) bool { return c.Key != nil || c.Drained }) {
		seen = map[any]bool{}
	}
	for i, c := range calls {
		if conflicts(seen, c) {
			twins = append(twins, i)
			continue
		}
		first = append(first, i)
		if seen == nil {
			continue
		}
		if c.Key != nil {
			seen[keyScope{c.Business, c.Key.Key}] = true
		}
		for _, m := range c.Messages {
			seen[m.ID] = true
		}
	}
	return first, twins
}

// keyScope identifies an idempotency key.
type keyScope struct {
	business esh3ar.BusinessID
	key      string
}

// conflicts reports whether a call conflicts with one that seen contains.
func conflicts(seen map[any]bool, c *esh3ar.Call) bool {
	return c.Key != nil && seen[keyScope{c.Business, c.Key.Key}] ||
		c.Drained && slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return seen[m.ID] })
}

// appendAll stores the calls with the indexes in which and sets their answers. Their keys differ.
func (s *Store) appendAll(ctx context.Context, calls []*esh3ar.Call, which []int, answers []esh3ar.Answer) error {
	now := s.now()
	args := appendArguments(calls, which, now)
	var result appendResult
	err := withRetry(ctx, func(int) (err error) {
		row, err := s.callFunction(ctx, appendCalls, args)
		if err == nil {
			result, err = decodeAppend(row)
		}
		return err
	})
	if err != nil {
		return writeError("append", err)
	}
	s.setSeqs(calls, which, &result)
	s.opts.OnCommit()
	var known []int
	for i, n := range which {
		switch result.outcomes[i] {
		case appendStored:
			answers[n] = storedAnswer(calls[n])
		case appendDuplicate:
			answers[n] = duplicateAnswer(calls[n])
		case appendIDKnown:
			answers[n], err = s.answerStored(ctx, calls[n])
		default:
			known = append(known, n)
		}
		if err != nil {
			return esh3ar.Errorf(esh3ar.OutcomeUnknown, "append: %w", err)
		}
	}
	return s.answerFromKeys(ctx, calls, known, answers)
}

// setSeqs sets the seqs of the stored messages and caches their rows.
func (s *Store) setSeqs(calls []*esh3ar.Call, which []int, result *appendResult) {
	var messages []*esh3ar.Message
	for _, n := range which {
		messages = append(messages, calls[n].Messages...)
	}
	rows := make([]row, 0, len(result.numbers))
	for i, n := range result.numbers {
		m := messages[n-1]
		if seq := result.seqs[i]; seq != nil {
			m.Seq = esh3ar.Seq(*seq)
		}
		rows = append(rows, rowOf(m))
	}
	s.cache.put(rows)
}

func firstStatus(m *esh3ar.Message) esh3ar.Status {
	if m.SendAt.IsZero() {
		return esh3ar.Queued
	}
	return esh3ar.Scheduled
}

func storedAnswer(c *esh3ar.Call) esh3ar.Answer {
	a := esh3ar.Answer{Outcome: esh3ar.Stored, Batch: c.Batch, Receipts: make([]esh3ar.Receipt, len(c.Messages))}
	for i, m := range c.Messages {
		a.Receipts[i] = esh3ar.Receipt{ID: m.ID, Seq: m.Seq, Status: firstStatus(m), Recipient: m.Recipient, CorrelationID: m.CorrelationID}
	}
	return a
}

func duplicateAnswer(c *esh3ar.Call) esh3ar.Answer {
	a := storedAnswer(c)
	a.Outcome = esh3ar.Duplicate
	for i := range a.Receipts {
		a.Receipts[i].Status = esh3ar.Canceled
	}
	return a
}

// answerStored answers a drained call that an earlier attempt has stored.
func (s *Store) answerStored(ctx context.Context, c *esh3ar.Call) (esh3ar.Answer, error) {
	ids := make([]esh3ar.MessageID, len(c.Messages))
	for i, m := range c.Messages {
		ids[i] = m.ID
	}
	rows, err := s.readRows(ctx, ids)
	if err != nil {
		return esh3ar.Answer{}, err
	}
	for _, m := range c.Messages {
		if r, ok := rows[m.ID]; ok {
			m.Seq = r.seq
		}
	}
	a := storedAnswer(c)
	a.Outcome = esh3ar.Replayed
	return a, nil
}

// appendArguments returns the arguments of append_calls.
func appendArguments(calls []*esh3ar.Call, which []int, now esh3ar.Time) []argument {
	n := len(which)
	business, key, fingerprint := newArray(uuidOID, 20*n), newArray(textOID, 8*n), newArray(byteaOID, 8*n)
	expires, batch, drained := newArray(int8OID, 12*n), newArray(uuidOID, 20*n), newArray(boolOID, 5*n)
	m := newMessageArrays(n)
	for i, at := range which {
		c := calls[at]
		business.uuid(c.Business.UUID)
		batch.uuid(c.Batch.UUID)
		drained.bool(c.Drained)
		if c.Key == nil || faultinject.Is(faultinject.KeyForgotten) || c.Drained && faultinject.Is(faultinject.DrainIgnoresKeys) {
			key.null()
			fingerprint.null()
			expires.null()
		} else {
			key.text(keySum(c.Key.Key))
			fingerprint.bytea(c.Key.Fingerprint[:])
			expires.int8(int64(c.Key.ExpiresAt))
		}
		for _, message := range c.Messages {
			m.add(i+1, message, c.Drained, now)
		}
	}
	args := []argument{
		{"p_now", int8Param(int64(now))},
		{"c_business", business.bytes()},
		{"c_key", key.bytes()},
		{"c_fingerprint", fingerprint.bytes()},
		{"c_expires", expires.bytes()},
		{"c_batch", batch.bytes()},
		{"c_drained", drained.bytes()},
	}
	return append(args, m.arguments()...)
}

// messageArrays are the arguments of append_calls with one element per message.
type messageArrays struct {
	call, id, recipient, lane, sender, subject, content, correlation, metadata *array
	sendAt, ttl, expires, event, duplicate, canceled                           *array

	scratch []byte // buffer for entries
}

func newMessageArrays(n int) *messageArrays {
	return &messageArrays{
		call: newArray(int4OID, 8*n), id: newArray(uuidOID, 20*n), recipient: newArray(int8OID, 12*n), lane: newArray(int2OID, 6*n),
		sender: newArray(textOID, 16*n), subject: newArray(textOID, 16*n), content: newArray(textOID, 128*n), correlation: newArray(textOID, 8*n),
		metadata: newArray(textOID, 8*n), sendAt: newArray(int8OID, 12*n), ttl: newArray(int4OID, 8*n), expires: newArray(int8OID, 12*n),
		event: newArray(byteaOID, 64*n), duplicate: newArray(byteaOID, 0), canceled: newArray(byteaOID, 0),
	}
}

func (a *messageArrays) arguments() []argument {
	return []argument{
		{"m_call", a.call.bytes()},
		{"m_id", a.id.bytes()},
		{"m_recipient", a.recipient.bytes()},
		{"m_lane", a.lane.bytes()},
		{"m_sender", a.sender.bytes()},
		{"m_subject", a.subject.bytes()},
		{"m_content", a.content.bytes()},
		{"m_correlation", a.correlation.bytes()},
		{"m_metadata", a.metadata.bytes()},
		{"m_send_at", a.sendAt.bytes()},
		{"m_ttl", a.ttl.bytes()},
		{"m_expires", a.expires.bytes()},
		{"m_event", a.event.bytes()},
		{"m_duplicate", a.duplicate.bytes()},
		{"m_canceled", a.canceled.bytes()},
	}
}

func (a *messageArrays) add(call int, m *esh3ar.Message, drained bool, now esh3ar.Time) {
	a.call.int4(call)
	a.id.uuid(m.ID.UUID)
	a.recipient.int8(int64(m.Recipient))
	a.lane.int2(int(m.Priority))
	a.sender.text(m.From)
	a.subject.text(m.Subject)
	a.content.text(m.Content)
	a.correlation.text(m.CorrelationID)
	if len(m.Metadata) == 0 {
		a.metadata.text("")
	} else {
		text, _ := json.Marshal(m.Metadata) // encoding a map of strings cannot fail
		a.metadata.bytea(text)
	}
	a.sendAt.int8(int64(m.SendAt))
	a.ttl.int4(int(m.TTL / time.Second))
	a.expires.int8(int64(m.ExpiresAt))
	r := row{id: m.ID, business: m.Business, recipient: m.Recipient, annotated: isAnnotated(m), Steps: lifecycle.First(m.ID, !m.SendAt.IsZero())}
	a.event.bytea(a.entries(&r))
	if !drained {
		a.duplicate.null()
		a.canceled.null()
		return
	}
	r.List = append(r.List, lifecycle.Step{Life: 1, Status: esh3ar.Canceled, At: now, Reason: esh3ar.ReasonDuplicate})
	a.duplicate.bytea(a.entries(&r))
	a.canceled.bytea(r.Append(nil))
}

// entries encodes all events of a message. The slice is valid until the next call.
func (a *messageArrays) entries(r *row) []byte {
	a.scratch = a.scratch[:0]
	for n := range r.List {
		e := r.entry(n)
		a.scratch = e.Append(a.scratch)
	}
	return a.scratch
}

// appendResult is the result of append_calls.
type appendResult struct {
	outcomes []int16
	numbers  []int32
	seqs     []*int64
}

func decodeAppend(fields [][]byte) (appendResult, error) {
	var r appendResult
	if len(fields) != 3 {
		return r, fmt.Errorf("append_calls returned %d fields, want 3", len(fields))
	}
	types := pgtype.NewMap()
	for i, target := range []struct {
		oid uint32
		to  any
	}{{pgtype.Int2ArrayOID, &r.outcomes}, {pgtype.Int4ArrayOID, &r.numbers}, {pgtype.Int8ArrayOID, &r.seqs}} {
		if err := types.Scan(target.oid, pgtype.BinaryFormatCode, fields[i], target.to); err != nil {
			return r, err
		}
	}
	return r, nil
}
