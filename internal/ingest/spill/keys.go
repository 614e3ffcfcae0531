package spill

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
)

// The first byte of a key is its kind. Numbers are big endian, so that keys sort like the numbers.
//
//	f                        format
//	c                        name of the cluster whose calls these are
//	q position               a call in the queue
//	k business sha256(key)   position of the call that has this idempotency key
//	x position               a call in quarantine, and the reason
const (
	formatKey      = 'f'
	clusterKey     = 'c'
	callKey        = 'q'
	idempotencyKey = 'k'
	quarantineKey  = 'x'
)

// position numbers the calls in the order of their acceptance, from 1.
type position uint64

// positionKeyLen is the length of a key that ends with a position.
const positionKeyLen = 1 + 8

func appendPosition(dst []byte, kind byte, p position) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), uint64(p))
}

func parsePosition(key []byte) position {
	return position(binary.BigEndian.Uint64(key[1:positionKeyLen]))
}

// keyHash identifies an idempotency key of a business. Its length is fixed, however long the caller's key is.
type keyHash struct {
	business esh3ar.BusinessID
	sum      [sha256.Size]byte
}

// keyHashOf returns the hash of the call's key; the call must have one.
func keyHashOf(c *esh3ar.Call) keyHash { return keyHash{c.Business, sha256.Sum256([]byte(c.Key.Key))} }

// append appends the row key to dst.
func (h keyHash) append(dst []byte) []byte {
	return append(append(append(dst, idempotencyKey), h.business.UUID[:]...), h.sum[:]...)
}
