package postgres

import "encoding/binary"

// Type OIDs of PostgreSQL, from pg_type.dat. They never change.
const (
	boolOID  = 16
	byteaOID = 17
	int8OID  = 20
	int2OID  = 21
	int4OID  = 23
	textOID  = 25
	uuidOID  = 2950
)

// array builds an argument: a one-dimensional array in the binary format of array_recv (arrayfuncs.c of the server). The
// format is: number of dimensions, whether there are nulls, element type, length, lower bound, and then each element with
// its length. pgx would encode arrays by reflection, which costs more CPU than the rest of a write.
type array struct {
	n    int // elements
	data []byte
}

const arrayHead = 20

func newArray(element uint32, size int) *array {
	a := &array{data: make([]byte, arrayHead, arrayHead+size)}
	binary.BigEndian.PutUint32(a.data[8:], element)
	return a
}

// bytes returns the finished argument.
func (a *array) bytes() []byte {
	if a.n == 0 {
		return a.data[:12] // without dimensions, there is no length and no lower bound
	}
	binary.BigEndian.PutUint32(a.data, 1)
	binary.BigEndian.PutUint32(a.data[12:], uint32(a.n))
	binary.BigEndian.PutUint32(a.data[16:], 1)
	return a.data
}

func (a *array) element(length int) {
	a.n++
	a.data = binary.BigEndian.AppendUint32(a.data, uint32(length))
}

func (a *array) null() {
	binary.BigEndian.PutUint32(a.data[4:], 1)
	a.n++
	a.data = binary.BigEndian.AppendUint32(a.data, ^uint32(0))
}

func (a *array) int8(v int64) {
	a.element(8)
	a.data = binary.BigEndian.AppendUint64(a.data, uint64(v))
}

func (a *array) int4(v int) {
	a.element(4)
	a.data = binary.BigEndian.AppendUint32(a.data, uint32(v))
}

func (a *array) int2(v int) {
	a.element(2)
	a.data = binary.BigEndian.AppendUint16(a.data, uint16(v))
}

func (a *array) bool(v bool) {
	a.element(1)
	if v {
		a.data = append(a.data, 1)
	} else {
		a.data = append(a.data, 0)
	}
}

func (a *array) uuid(v [16]byte) {
	a.element(16)
	a.data = append(a.data, v[:]...)
}

func (a *array) text(v string) {
	a.element(len(v))
	a.data = append(a.data, v...)
}

func (a *array) bytea(v []byte) {
	a.element(len(v))
	a.data = append(a.data, v...)
}

// int8Param returns a scalar argument.
func int8Param(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }
