package signalr

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// The functions of this file append MessagePack, each value in the fewest bytes that hold it.

func appendPackNil(dst []byte) []byte { return append(dst, 0xc0) }

func appendPackBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

func appendPackUint(dst []byte, n uint64) []byte {
	switch {
	case n <= 0x7f:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
	}
}

func appendPackInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendPackUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
	}
}

func appendPackFloat(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
}

// appendPackSize appends a length or a count in one of up to four forms: within the first byte, which is fix, or behind
// the bytes of which c8, c16 and c32 announce one, two and four. A form that does not exist is 0.
func appendPackSize(dst []byte, n int, fix byte, fixMax int, c8, c16, c32 byte) []byte {
	switch {
	case n <= fixMax:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint8 && c8 != 0:
		return append(dst, c8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, c16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, c32), uint32(n))
	}
}

func appendPackStringHead(dst []byte, n int) []byte {
	return appendPackSize(dst, n, 0xa0, 31, 0xd9, 0xda, 0xdb)
}

func appendPackArray(dst []byte, n int) []byte {
	return appendPackSize(dst, n, 0x90, 15, 0, 0xdc, 0xdd)
}

func appendPackMap(dst []byte, n int) []byte { return appendPackSize(dst, n, 0x80, 15, 0, 0xde, 0xdf) }

func appendPackString[T string | []byte](dst []byte, s T) []byte {
	return append(appendPackStringHead(dst, len(s)), s...)
}

func appendPackBinary(dst, b []byte) []byte {
	return append(appendPackSize(dst, len(b), 0, -1, 0xc4, 0xc5, 0xc6), b...)
}

// extTimestamp is the extension type of a moment, in one of three widths.
const extTimestamp = -1

func appendPackTime(dst []byte, t time.Time) []byte {
	const ext8, fixext4, fixext8, timestamp = 0xc7, 0xd6, 0xd7, 0xff
	seconds, nanos := t.Unix(), uint64(t.Nanosecond())
	switch {
	case nanos == 0 && seconds >= 0 && seconds <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, fixext4, timestamp), uint32(seconds))
	case seconds >= 0 && seconds < 1<<34:
		return binary.BigEndian.AppendUint64(append(dst, fixext8, timestamp), nanos<<34|uint64(seconds))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, ext8, 12, timestamp), uint32(nanos))
		return binary.BigEndian.AppendUint64(dst, uint64(seconds))
	}
}

// beginPack leaves room for the length of a message, endPack puts it there, where begun is where the message begins.
func beginPack(dst []byte) (out []byte, begun int) {
	return append(dst, make([]byte, maxVarint)...), len(dst)
}

func endPack(dst []byte, begun int) []byte {
	body := dst[begun+maxVarint:]
	head := binary.AppendUvarint(dst[:begun], uint64(len(body)))
	return append(head, body...)
}

// AppendMessagePackInvocation is [AppendInvocation] for the MessagePack protocol. The arguments are JSON all the same:
// they are carried over by [AppendMessagePack].
func AppendMessagePackInvocation(dst []byte, target string, args ...json.RawMessage) ([]byte, error) {
	dst, begun := beginPack(dst)
	dst = appendPackInvocationHead(dst, "", target, len(args))
	var err error
	for i, a := range args {
		if dst, err = AppendMessagePack(dst, a); err != nil {
			return dst[:begun], fmt.Errorf("signalr: encode argument %d of %s: %w", i, target, err)
		}
	}
	return endPack(appendPackArray(dst, 0), begun), nil
}

func appendPackInvocationHead(dst []byte, id, target string, args int) []byte {
	dst = append(dst, 0x96, typeInvocation, 0x80)
	if id == "" {
		dst = appendPackNil(dst)
	} else {
		dst = appendPackString(dst, id)
	}
	return appendPackArray(appendPackString(dst, target), args)
}

func (p packProtocol) appendInvocation(dst []byte, target string, args []any) ([]byte, error) {
	return p.appendRequest(dst, "", target, args)
}

func (packProtocol) appendRequest(dst []byte, id, target string, args []any) ([]byte, error) {
	dst, begun := beginPack(dst)
	dst = appendPackInvocationHead(dst, id, target, len(args))
	var err error
	for i, a := range args {
		if dst, err = appendPack(dst, a); err != nil {
			return nil, fmt.Errorf("signalr: encode argument %d of %s: %w", i, target, err)
		}
	}
	return endPack(appendPackArray(dst, 0), begun), nil
}

func (packProtocol) appendStreamItem(dst []byte, id string, item any) ([]byte, error) {
	dst, begun := beginPack(dst)
	dst = appendPackString(append(dst, 0x94, typeStreamItem, 0x80), id)
	dst, err := appendPack(dst, item)
	if err != nil {
		return nil, fmt.Errorf("signalr: encode item: %w", err)
	}
	return endPack(dst, begun), nil
}

func (packProtocol) appendCompletion(dst []byte, id string, result any, text string, failed bool) ([]byte, error) {
	dst, begun := beginPack(dst)
	items := byte(0x95)
	if result == nil && !failed {
		items = 0x94
	}
	dst = appendPackString(append(dst, items, typeCompletion, 0x80), id)
	var err error
	switch {
	case failed:
		dst = appendPackString(append(dst, packFailed), text)
	case result == nil:
		dst = append(dst, packVoid)
	default:
		if dst, err = appendPack(append(dst, packSucceeded), result); err != nil {
			return nil, fmt.Errorf("signalr: encode result: %w", err)
		}
	}
	return endPack(dst, begun), nil
}

func (packProtocol) appendPing(dst []byte) []byte { return append(dst, 2, 0x91, typePing) }

func (packProtocol) appendClose(dst []byte, text string, allowReconnect bool) []byte {
	dst, begun := beginPack(dst)
	dst = append(dst, 0x93, typeClose)
	if text == "" {
		dst = appendPackNil(dst)
	} else {
		dst = appendPackString(dst, text)
	}
	return endPack(appendPackBool(dst, allowReconnect), begun)
}

func (packProtocol) appendAck(dst []byte, id int64) []byte { return appendPackCount(dst, typeAck, id) }

func (packProtocol) appendSequence(dst []byte, id int64) []byte {
	return appendPackCount(dst, typeSequence, id)
}

func appendPackCount(dst []byte, kind byte, id int64) []byte {
	dst, begun := beginPack(dst)
	return endPack(appendPackInt(append(dst, 0x92, kind), id), begun)
}
