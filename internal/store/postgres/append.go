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

// The outcomes of append_calls.
const (
	appendStored    = 0
	appendKeyKnown  = 1
	appendIDKnown   = 2
	appendDuplicate = 3
)

var appendCalls = statement{"append", `SELECT outcomes, numbers, seqs FROM append_calls($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22)`}

// Append realises esh3ar.Appender.
func (s *Store) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if err := checkCalls(calls); err != nil {
		return nil, err
	}
	answers := make([]esh3ar.Answer, len(calls))
	first, twins := splitTwins(calls)
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
	later, err := s.Append(ctx, rest) // their keys are known by now
	if err != nil {
		return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "append the second call of a key: %w", err) // the first ones are stored
	}
	for i, n := range twins {
		answers[n] = later[i]
	}
	return answers, nil
}

// checkCalls refuses what no commit could hold.
func checkCalls(calls []*esh3ar.Call) error {
	for _, c := range calls {
		for i, m := range c.Messages {
			if m.Priority >= esh3ar.Priorities {
				return esh3ar.Errorf(esh3ar.Invalid, "append %s: no such priority", m.ID)
			}
			if c.Drained && slices.ContainsFunc(c.Messages[:i], func(other *esh3ar.Message) bool { return other.ID == m.ID }) {
				return esh3ar.Errorf(esh3ar.Invalid, "append %s: it is in its call twice", m.ID)
			}
		}
	}
	return nil
}

// splitTwins tells the calls whose key, or for a drained one whose message, came earlier in the batch from the others.
func splitTwins(calls []*esh3ar.Call) (first, twins []int) {
	var seen map[any]bool // keyScope or esh3ar.MessageID; made when the batch has something that could meet
	if slices.ContainsFunc(calls, func(c *esh3ar.Call) bool { return c.Key != nil || c.Drained }) {
		seen = map[any]bool{}
	}
	for i, c := range calls {
		if meets(seen, c) {
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

type keyScope struct {
	business esh3ar.BusinessID
	key      string
}

func meets(seen map[any]bool, c *esh3ar.Call) bool {
	return c.Key != nil && seen[keyScope{c.Business, c.Key.Key}] ||
		c.Drained && slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return seen[m.ID] })
}

// appendAll stores calls[which], whose keys are different, and answers them.
func (s *Store) appendAll(ctx context.Context, calls []*esh3ar.Call, which []int, answers []esh3ar.Answer) error {
	now := s.now()
	params := appendParams(calls, which, now)
	var result appendResult
	err := persist(ctx, func(int) (err error) {
		row, err := s.call(ctx, appendCalls, params)
		if err == nil {
			result, err = decodeAppend(row)
		}
		return err
	})
	if err != nil {
		return writeError("append", err)
	}
	s.number(calls, which, &result)
	s.opts.OnCommit()
	var known []int
	for i, n := range which {
		switch result.outcomes[i] {
		case appendStored:
			answers[n] = storedAnswer(calls[n])
		case appendDuplicate:
			answers[n] = duplicateAnswer(calls[n])
		case appendIDKnown:
			answers[n], err = s.storedBefore(ctx, calls[n])
		default:
			known = append(known, n)
		}
		if err != nil {
			return esh3ar.Errorf(esh3ar.OutcomeUnknown, "append: %w", err)
		}
	}
	return s.answerKnown(ctx, calls, known, answers)
}

// number sets the seqs of what was stored, and remembers it.
func (s *Store) number(calls []*esh3ar.Call, which []int, result *appendResult) {
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
	s.recent.keep(rows)
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

// storedBefore answers a drained call that an earlier try has stored.
func (s *Store) storedBefore(ctx context.Context, c *esh3ar.Call) (esh3ar.Answer, error) {
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

// appendParams are the arguments of append_calls.
func appendParams(calls []*esh3ar.Call, which []int, now esh3ar.Time) [][]byte {
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
	params := [][]byte{int8Param(int64(now)), business.bytes(), key.bytes(), fingerprint.bytes(), expires.bytes(), batch.bytes(), drained.bytes()}
	return append(params, m.params()...)
}

// messageArrays are the arguments that have an element for each message.
type messageArrays struct {
	call, id, recipient, lane, sender, subject, content, correlation, metadata *array
	sendAt, ttl, expires, event, duplicate, canceled                           *array

	scratch []byte
}

func newMessageArrays(n int) *messageArrays {
	return &messageArrays{
		call: newArray(int4OID, 8*n), id: newArray(uuidOID, 20*n), recipient: newArray(int8OID, 12*n), lane: newArray(int2OID, 6*n),
		sender: newArray(textOID, 16*n), subject: newArray(textOID, 16*n), content: newArray(textOID, 128*n), correlation: newArray(textOID, 8*n),
		metadata: newArray(textOID, 8*n), sendAt: newArray(int8OID, 12*n), ttl: newArray(int4OID, 8*n), expires: newArray(int8OID, 12*n),
		event: newArray(byteaOID, 64*n), duplicate: newArray(byteaOID, 0), canceled: newArray(byteaOID, 0),
	}
}

func (a *messageArrays) params() [][]byte {
	all := [...]*array{
		a.call, a.id, a.recipient, a.lane, a.sender, a.subject, a.content, a.correlation, a.metadata, a.sendAt, a.ttl, a.expires, a.event, a.duplicate, a.canceled,
	}
	params := make([][]byte, len(all))
	for i, one := range all {
		params[i] = one.bytes()
	}
	return params
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
		text, _ := json.Marshal(m.Metadata) // strings cannot fail
		a.metadata.bytea(text)
	}
	a.sendAt.int8(int64(m.SendAt))
	a.ttl.int4(int(m.TTL / time.Second))
	a.expires.int8(int64(m.ExpiresAt))
	r := row{id: m.ID, business: m.Business, recipient: m.Recipient, more: hasMore(m), Steps: lifecycle.First(m.ID, !m.SendAt.IsZero())}
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

// entries are all events of a message, in a buffer that stands until the next call.
func (a *messageArrays) entries(r *row) []byte {
	a.scratch = a.scratch[:0]
	for n := range r.List {
		e := r.entry(n)
		a.scratch = e.Append(a.scratch)
	}
	return a.scratch
}

// appendResult is what append_calls gives.
type appendResult struct {
	outcomes []int16
	numbers  []int32
	seqs     []*int64
}

func decodeAppend(fields [][]byte) (r appendResult, err error) {
	if len(fields) != 3 {
		return r, fmt.Errorf("append_calls gave %d fields", len(fields))
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
