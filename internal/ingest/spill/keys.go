package spill

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
)

// The first byte of a key says what it is. Numbers are big endian, so that keys sort as the numbers do.
//
//	f                        format
//	c                        name of the cluster whose calls these are
//	q position               a call that waits for the store
//	k business sha256(key)   position of the call that has this idempotency key
//	x position               a call in quarantine, and why
const (
	formatKey  = 'f'
	clusterKey = 'c'
	callKey    = 'q'
	idemKey    = 'k'
	asideKey   = 'x'
)

// position numbers calls in the order of their acceptance, from 1.
type position uint64

const positionKeyLen = 1 + 8

func appendPosition(dst []byte, kind byte, p position) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), uint64(p))
}

func parsePosition(key []byte) position {
	return position(binary.BigEndian.Uint64(key[1:positionKeyLen]))
}

// scope names an idempotency key. It has a fixed length, whatever the caller sends.
type scope struct {
	business esh3ar.BusinessID
	sum      [sha256.Size]byte
}

func scopeOf(c *esh3ar.Call) scope { return scope{c.Business, sha256.Sum256([]byte(c.Key.Key))} }

func (s scope) append(dst []byte) []byte {
	return append(append(append(dst, idemKey), s.business.UUID[:]...), s.sum[:]...)
}
