package signalr

import "encoding/binary"

// WebSocket opcodes (RFC 6455, 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

const (
	finBit        = 0x80
	reservedBits  = 0x70
	opcodeBits    = 0x0f
	maskBit       = 0x80
	controlLimit  = 125 // bytes of a control frame's payload
	maxHeaderSize = 14
)

// webSocketError is a violation of the WebSocket protocol by the client.
type webSocketError struct{ text string }

func (e *webSocketError) Error() string { return "websocket: " + e.text }

// frameReader takes WebSocket frames apart as their bytes come, however they are cut. The hub protocols see a stream of
// bytes, so payloads are handed on at once and nothing is gathered; only control frames, of 125 bytes at most, are.
type frameReader struct {
	header     [maxHeaderSize]byte
	have       uint8 // bytes of header
	inPayload  bool
	fragmented bool // a message is open, its next frame must be a continuation
	opcode     byte
	mask       [4]byte
	maskAt     uint8
	left       uint64 // bytes of the payload still to come
	control    []byte // payload so far of a control frame
}

// frameHandler gets what frames carry. The bytes belong to the caller again when it returns.
type frameHandler interface {
	data(b []byte)
	control(opcode byte, payload []byte)
}

// consume takes the next bytes from the socket, unmasking them in place.
func (r *frameReader) consume(b []byte, h frameHandler) error {
	for len(b) > 0 {
		if !r.inPayload {
			n, whole, err := r.readHeader(b)
			if err != nil {
				return err
			}
			b = b[n:]
			if !whole {
				return nil
			}
			if r.left > 0 {
				continue
			}
		}
		n := int(min(uint64(len(b)), r.left))
		r.payload(b[:n], h)
		b = b[n:]
	}
	return nil
}

// readHeader gathers a header. It returns how many bytes it took and whether the header is whole.
func (r *frameReader) readHeader(b []byte) (taken int, whole bool, err error) {
	for taken < len(b) {
		r.header[r.have] = b[taken]
		r.have++
		taken++
		if r.have >= 2 && int(r.have) == r.headerSize() {
			return taken, true, r.begin()
		}
		if r.have == 2 {
			// Judged before the rest comes: an unmasked frame has no more header.
			if err = r.check(); err != nil {
				return taken, false, err
			}
		}
	}
	return taken, false, nil
}

func (r *frameReader) headerSize() int {
	n := 2
	switch r.header[1] &^ maskBit {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if r.header[1]&maskBit != 0 {
		n += 4
	}
	return n
}

func (r *frameReader) check() error {
	first, second := r.header[0], r.header[1]
	opcode := first & opcodeBits
	switch {
	case first&reservedBits != 0:
		return &webSocketError{"reserved bits are set"}
	case second&maskBit == 0:
		return &webSocketError{"frame of a client is not masked"}
	}
	switch opcode {
	case opContinuation:
		if !r.fragmented {
			return &webSocketError{"continuation without a beginning"}
		}
	case opText, opBinary:
		if r.fragmented {
			return &webSocketError{"new message inside a fragmented one"}
		}
	case opClose, opPing, opPong:
		if first&finBit == 0 || second&^maskBit > controlLimit {
			return &webSocketError{"control frame is fragmented or too long"}
		}
	default:
		return &webSocketError{"unknown opcode"}
	}
	return nil
}

// begin starts the payload of a frame whose header is whole.
func (r *frameReader) begin() error {
	if err := r.check(); err != nil {
		return err
	}
	h := r.header[:r.have]
	switch n := h[1] &^ maskBit; n {
	case 126:
		r.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		r.left = binary.BigEndian.Uint64(h[2:])
		if r.left>>63 != 0 {
			return &webSocketError{"frame length is out of range"}
		}
	default:
		r.left = uint64(n)
	}
	r.opcode = h[0] & opcodeBits
	if r.opcode < opClose {
		r.fragmented = h[0]&finBit == 0
	}
	copy(r.mask[:], h[len(h)-4:])
	r.maskAt = 0
	r.have = 0
	r.inPayload = true
	return nil
}

// payload passes on b, which may be the payload's end.
func (r *frameReader) payload(b []byte, h frameHandler) {
	unmask(b, r.mask, &r.maskAt)
	r.left -= uint64(len(b))
	done := r.left == 0
	r.inPayload = !done
	if r.opcode < opClose {
		h.data(b)
		return
	}
	if done && len(r.control) == 0 {
		h.control(r.opcode, b)
		return
	}
	r.control = append(r.control, b...)
	if done {
		whole := r.control
		r.control = nil
		h.control(r.opcode, whole)
	}
}

// unmask undoes the client's masking, eight bytes at a time. at is the position in the mask, kept between calls.
func unmask(b []byte, mask [4]byte, at *uint8) {
	p := int(*at)
	*at = uint8((p + len(b)) & 3)
	var turned [8]byte
	for i := range turned {
		turned[i] = mask[(p+i)&3]
	}
	word := binary.LittleEndian.Uint64(turned[:])
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= turned[i]
	}
}

// appendFrameHeader appends the header of an unfragmented, unmasked frame.
func appendFrameHeader(dst []byte, opcode byte, n int) []byte {
	dst = append(dst, finBit|opcode)
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}
