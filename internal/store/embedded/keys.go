package embedded

import (
	"crypto/sha256"
	"encoding/binary"

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
//	k business sha256(key)        idempotency key with the answer of its call
//	e position                    event log
//	l business id                 listing
//	b id                          business
//	a sha256(api key)             API key
//	o business key-id             hash of that API key
//	n name                        setting
//	d …                           kept free for due tasks
const (
	formatKey   = 'f'
	bodyKey     = 'm'
	stepsKey    = 's'
	idKey       = 'i'
	waitingKey  = 'u'
	counterKey  = 'c'
	idemKey     = 'k'
	eventKey    = 'e'
	listKey     = 'l'
	businessKey = 'b'
	apiKeyKey   = 'a'
	ownedKey    = 'o'
	settingKey  = 'n'
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

func appendIdem(dst []byte, business esh3ar.BusinessID, key string) []byte {
	sum := sha256.Sum256([]byte(key)) // fixed length, whatever the caller sends
	return append(append(append(dst, idemKey), business.UUID[:]...), sum[:]...)
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
