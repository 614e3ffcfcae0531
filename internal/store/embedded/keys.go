package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/esh3artech/esh3ar"
)

// The first byte of a key is its type. Numbers are big endian, so keys sort in numerical order.
//
//	f                             store format
//	m recipient seq               body of a message; never rewritten
//
// s recipient seq               steps of that message after acceptance; absent if there are none
// i id                          location of a message
//
//	u recipient lane seq          undelivered; lane 0 is the highest priority
//	c recipient                   highest seq
//
// p id                          body of a message without a seq: scheduled, or ended before it got one
// q id                          steps of that message
//
//	d due kind id                 task
//
// x business time id            dead letter, by the time of failure
// k day business sha256(key)    idempotency key with the answer of its call, by the day of expiry
//
//	e position                    event log
//
// h                             position up to which the event log was trimmed, and the cutoff time of that trim
//
//	l business id                 listing
//	t name                        plan
//
// y business day                usage of a day
// z …                           damaged row set aside by a repair, under its original key
//
//	b id                          business
//	a sha256(api key)             API key
//
// o business key-id             hash of an API key of that business
//
//	n name                        setting
//
// r recipient device            revocation of a device's tokens
const (
	formatKey          = 'f'
	bodyKey            = 'm'
	stepsKey           = 's'
	idKey              = 'i'
	undeliveredKey     = 'u'
	counterKey         = 'c'
	unnumberedBodyKey  = 'p'
	unnumberedStepsKey = 'q'
	taskKey            = 'd'
	deadLetterKey      = 'x'
	idemKey            = 'k'
	eventKey           = 'e'
	trimmedKey         = 'h'
	listKey            = 'l'
	businessKey        = 'b'
	apiKeyKey          = 'a'
	keyIndexKey        = 'o'
	settingKey         = 'n'
	revocationKey      = 'r'
	planKey            = 't'
	usageKey           = 'y'
	quarantineKey      = 'z'
)

func appendRecipientSeq(dst []byte, kind byte, r esh3ar.Recipient, seq esh3ar.Seq) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, kind), uint64(r))
	return binary.BigEndian.AppendUint64(dst, uint64(seq))
}

// laneByte inverts the priority, so that an iterator returns the highest priority first.
func laneByte(p esh3ar.Priority) byte { return esh3ar.Priorities - 1 - byte(p) }

func appendUndelivered(dst []byte, r esh3ar.Recipient, p esh3ar.Priority, seq esh3ar.Seq) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, undeliveredKey), uint64(r))
	return binary.BigEndian.AppendUint64(append(dst, laneByte(p)), uint64(seq))
}

// undeliveredKeyLen is the length of a key of the undelivered index.
const undeliveredKeyLen = 1 + 8 + 1 + 8

func parseUndelivered(key []byte) (r esh3ar.Recipient, p esh3ar.Priority, seq esh3ar.Seq, ok bool) {
	if len(key) != undeliveredKeyLen || key[9] >= esh3ar.Priorities {
		return 0, 0, 0, false
	}
	return esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Priorities - 1 - esh3ar.Priority(key[9]),
		esh3ar.Seq(binary.BigEndian.Uint64(key[10:])), true
}

func appendID(dst []byte, id esh3ar.MessageID) []byte {
	return append(append(dst, idKey), id.UUID[:]...)
}

func appendCounter(dst []byte, r esh3ar.Recipient) []byte {
	return binary.BigEndian.AppendUint64(append(dst, counterKey), uint64(r))
}

// appendBodyKey appends the key of a message's body. The id is used only if seq is zero.
func appendBodyKey(dst []byte, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) []byte {
	if seq == 0 {
		return append(append(dst, unnumberedBodyKey), id.UUID[:]...)
	}
	return appendRecipientSeq(dst, bodyKey, r, seq)
}

// appendStepsKey appends the key of a message's steps. The id is used only if seq is zero.
func appendStepsKey(dst []byte, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) []byte {
	if seq == 0 {
		return append(append(dst, unnumberedStepsKey), id.UUID[:]...)
	}
	return appendRecipientSeq(dst, stepsKey, r, seq)
}

func appendTask(dst []byte, due esh3ar.Time, kind esh3ar.TaskKind, id esh3ar.MessageID) []byte {
	dst = append(binary.BigEndian.AppendUint64(append(dst, taskKey), uint64(due)), byte(kind))
	return append(dst, id.UUID[:]...)
}

// taskKeyLen is the length of the key of a task.
const taskKeyLen = 1 + 8 + 1 + 16

func parseTask(key []byte) (t esh3ar.Task, ok bool) {
	if len(key) != taskKeyLen {
		return t, false
	}
	t.Due, t.Kind = esh3ar.Time(binary.BigEndian.Uint64(key[1:])), esh3ar.TaskKind(key[9])
	copy(t.Message.UUID[:], key[10:])
	return t, t.Kind == esh3ar.EnqueueTask || t.Kind == esh3ar.ExpireTask
}

func appendDeadLetter(dst []byte, business esh3ar.BusinessID, at esh3ar.Time, id esh3ar.MessageID) []byte {
	dst = append(append(dst, deadLetterKey), business.UUID[:]...)
	return append(binary.BigEndian.AppendUint64(dst, uint64(at)), id.UUID[:]...)
}

// deadLetterKeyLen is the length of the key of a dead letter.
const deadLetterKeyLen = 1 + 16 + 8 + 16

func parseDeadLetter(key []byte) (business esh3ar.BusinessID, at esh3ar.Time, id esh3ar.MessageID, ok bool) {
	if len(key) != deadLetterKeyLen {
		return business, 0, id, false
	}
	copy(business.UUID[:], key[1:])
	copy(id.UUID[:], key[25:])
	return business, esh3ar.Time(binary.BigEndian.Uint64(key[17:])), id, true
}

// idemDay returns the day, since 1970, on which a key expires. All keys of a day are deleted as one range.
func idemDay(t esh3ar.Time) uint32 {
	return uint32(min(max(int64(t), 0)/(24*time.Hour).Milliseconds(), math.MaxUint32))
}

func appendIdemDay(dst []byte, day uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, idemKey), day)
}

// appendIdem appends the key of an idempotency row. Its length does not depend on the caller's key, which is hashed.
func appendIdem(dst []byte, day uint32, scope idemScope) []byte {
	return append(append(appendIdemDay(dst, day), scope.business.UUID[:]...), scope.sum[:]...)
}

// idemScope identifies an idempotency key, apart from its day.
type idemScope struct {
	business esh3ar.BusinessID
	sum      [sha256.Size]byte
}

func scopeOf(business esh3ar.BusinessID, key string) idemScope {
	return idemScope{business, sha256.Sum256([]byte(key))}
}

func appendEvent(dst []byte, pos uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, eventKey), pos)
}

func appendList(dst []byte, business esh3ar.BusinessID, id esh3ar.MessageID) []byte {
	return append(append(append(dst, listKey), business.UUID[:]...), id.UUID[:]...)
}

func appendBusiness(dst []byte, id esh3ar.BusinessID) []byte {
	return append(append(dst, businessKey), id.UUID[:]...)
}

func appendAPIKey(dst []byte, hash esh3ar.KeyHash) []byte {
	return append(append(dst, apiKeyKey), hash[:]...)
}

func appendKeyIndex(dst []byte, business esh3ar.BusinessID, key esh3ar.KeyID) []byte {
	return append(append(append(dst, keyIndexKey), business.UUID[:]...), key.UUID[:]...)
}

func appendSetting(dst []byte, name string) []byte { return append(append(dst, settingKey), name...) }

func appendRevocation(dst []byte, r esh3ar.Recipient, device string) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, revocationKey), uint64(r)), device...)
}

func appendPlan(dst []byte, name string) []byte { return append(append(dst, planKey), name...) }

// appendUsage appends the key of a business's usage of one day. Days before 1970 would sort last; they do not occur.
func appendUsage(dst []byte, business esh3ar.BusinessID, day esh3ar.Day) []byte {
	return binary.BigEndian.AppendUint32(append(append(dst, usageKey), business.UUID[:]...), uint32(day))
}

// usageKeyLen is the length of the key of a usage row.
const usageKeyLen = 1 + 16 + 4

// successor returns the first key after all keys with the prefix, or nil if there is none.
func successor(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil // all bytes are 0xff: no upper bound
}
