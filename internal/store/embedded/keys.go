package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/esh3artech/esh3ar"
)

// The first byte of a key says what it is. Numbers are big endian, so that keys sort as the numbers do.
//
//	f                             store format
//	m recipient seq               body of a message; never rewritten
//	s recipient seq               its steps after acceptance; absent while there are none
//	i id                          where that message is
//	u recipient lane seq          undelivered; lane 0 is the highest priority
//	c recipient                   highest seq
//	p id                          body of a message that has no seq yet: it is scheduled, or ended so
//	q id                          its steps
//	d due kind id                 task
//	x business time id            dead letter, by the time of its failure
//	k day business sha256(key)    idempotency key with the answer of its call, by the day of its end
//	e position                    event log
//	h                             position up to which the event log was trimmed, and the time that was for
//	l business id                 listing
//	t name                        plan
//	y business day                usage of that day
//	z …                           what a repair set aside, under the key it had
//	b id                          business
//	a sha256(api key)             API key
//	o business key-id             hash of that API key
//	n name                        setting
//	r recipient device            revocation of a phone's tokens
const (
	formatKey   = 'f'
	bodyKey     = 'm'
	stepsKey    = 's'
	idKey       = 'i'
	waitingKey  = 'u'
	counterKey  = 'c'
	parkedKey   = 'p'
	parkedSteps = 'q'
	taskKey     = 'd'
	deadKey     = 'x'
	idemKey     = 'k'
	eventKey    = 'e'
	trimmedKey  = 'h'
	listKey     = 'l'
	businessKey = 'b'
	apiKeyKey   = 'a'
	ownedKey    = 'o'
	settingKey  = 'n'
	revokedKey  = 'r'
	planKey     = 't'
	usageKey    = 'y'
	asideKey    = 'z'
)

func appendRecipientSeq(dst []byte, kind byte, r esh3ar.Recipient, seq esh3ar.Seq) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, kind), uint64(r))
	return binary.BigEndian.AppendUint64(dst, uint64(seq))
}

// laneByte turns priorities around: iteration gives the highest first.
func laneByte(p esh3ar.Priority) byte { return esh3ar.Priorities - 1 - byte(p) }

func appendWaiting(dst []byte, r esh3ar.Recipient, p esh3ar.Priority, seq esh3ar.Seq) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, waitingKey), uint64(r))
	return binary.BigEndian.AppendUint64(append(dst, laneByte(p)), uint64(seq))
}

// waitingKeyLen is the length of what appendWaiting makes.
const waitingKeyLen = 1 + 8 + 1 + 8

func parseWaiting(key []byte) (r esh3ar.Recipient, p esh3ar.Priority, seq esh3ar.Seq, ok bool) {
	if len(key) != waitingKeyLen || key[9] >= esh3ar.Priorities {
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

// appendBodyKey is where the body of a message is: with its seq, or without one.
func appendBodyKey(dst []byte, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) []byte {
	if seq == 0 {
		return append(append(dst, parkedKey), id.UUID[:]...)
	}
	return appendRecipientSeq(dst, bodyKey, r, seq)
}

// appendStepsKey is where its steps are.
func appendStepsKey(dst []byte, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) []byte {
	if seq == 0 {
		return append(append(dst, parkedSteps), id.UUID[:]...)
	}
	return appendRecipientSeq(dst, stepsKey, r, seq)
}

func appendTask(dst []byte, due esh3ar.Time, kind esh3ar.TaskKind, id esh3ar.MessageID) []byte {
	dst = append(binary.BigEndian.AppendUint64(append(dst, taskKey), uint64(due)), byte(kind))
	return append(dst, id.UUID[:]...)
}

// taskKeyLen is the length of what appendTask makes.
const taskKeyLen = 1 + 8 + 1 + 16

func parseTask(key []byte) (t esh3ar.Task, ok bool) {
	if len(key) != taskKeyLen {
		return t, false
	}
	t.Due, t.Kind = esh3ar.Time(binary.BigEndian.Uint64(key[1:])), esh3ar.TaskKind(key[9])
	copy(t.Message.UUID[:], key[10:])
	return t, t.Kind == esh3ar.EnterTask || t.Kind == esh3ar.ExpireTask
}

func appendDead(dst []byte, business esh3ar.BusinessID, at esh3ar.Time, id esh3ar.MessageID) []byte {
	dst = append(append(dst, deadKey), business.UUID[:]...)
	return append(binary.BigEndian.AppendUint64(dst, uint64(at)), id.UUID[:]...)
}

// deadKeyLen is the length of what appendDead makes.
const deadKeyLen = 1 + 16 + 8 + 16

func parseDead(key []byte) (business esh3ar.BusinessID, at esh3ar.Time, id esh3ar.MessageID, ok bool) {
	if len(key) != deadKeyLen {
		return business, 0, id, false
	}
	copy(business.UUID[:], key[1:])
	copy(id.UUID[:], key[25:])
	return business, esh3ar.Time(binary.BigEndian.Uint64(key[17:])), id, true
}

// idemDay is the day, since 1970, on which a key ends: the keys of a day are deleted by one range.
func idemDay(t esh3ar.Time) uint32 {
	return uint32(min(max(int64(t), 0)/(24*time.Hour).Milliseconds(), math.MaxUint32))
}

func appendIdemDay(dst []byte, day uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, idemKey), day)
}

// appendIdem has a fixed length, whatever the caller sends.
func appendIdem(dst []byte, day uint32, scope idemScope) []byte {
	return append(append(appendIdemDay(dst, day), scope.business.UUID[:]...), scope.sum[:]...)
}

// idemScope names an idempotency key apart from its day.
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

func appendOwned(dst []byte, business esh3ar.BusinessID, key esh3ar.KeyID) []byte {
	return append(append(append(dst, ownedKey), business.UUID[:]...), key.UUID[:]...)
}

func appendSetting(dst []byte, name string) []byte { return append(append(dst, settingKey), name...) }

func appendRevocation(dst []byte, r esh3ar.Recipient, device string) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, revokedKey), uint64(r)), device...)
}

func appendPlan(dst []byte, name string) []byte { return append(append(dst, planKey), name...) }

// appendUsage sorts the days before 1970 last; nobody lives there.
func appendUsage(dst []byte, business esh3ar.BusinessID, day esh3ar.Day) []byte {
	return binary.BigEndian.AppendUint32(append(append(dst, usageKey), business.UUID[:]...), uint32(day))
}

// usageKeyLen is the length of what appendUsage makes.
const usageKeyLen = 1 + 16 + 4

// successor is the first key after all that begin with prefix.
func successor(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil // all bytes were 0xff: no upper bound
}
