package signalr

import (
	"encoding/binary"
	"unicode/utf8"
)

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
type webSocketError struct {
	code int // of the close frame that answers it
	text string
}

func (e *webSocketError) Error() string { return "websocket: " + e.text }

func frameError(text string) error { return &webSocketError{closeProtocol, text} }

// frameReader takes WebSocket frames apart as their bytes come, however they are cut. The hub protocols see a stream of
// bytes, so payloads are handed on at once and nothing is gathered; only control frames, of 125 bytes at most, are.
//
// An error is final: every later call of consume returns it and handles nothing.
type frameReader struct {
	header     [maxHeaderSize]byte
	have       uint8 // bytes of header
	inPayload  bool
	fragmented bool // a message is open, its next frame must be a continuation
	opcode     byte
	mask       [4]byte
	maskAt     uint8
	text       textChecker
	isText     bool   // the open message is text
	left       uint64 // bytes of the payload still to come
	control    []byte // payload so far of a control frame
	err        error  // the first error; nil until then
}

// frameHandler gets what frames carry. The bytes belong to the caller again when it returns.
type frameHandler interface {
	data(b []byte)
	control(opcode byte, payload []byte)
}

// consume takes the next bytes from the socket, unmasking them in place.
func (r *frameReader) consume(b []byte, h frameHandler) error {
	if r.err == nil {
		r.err = r.frames(b, h)
	}
	return r.err
}

func (r *frameReader) frames(b []byte, h frameHandler) error {
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
		if err := r.payload(b[:n], h); err != nil {
			return err
		}
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
		return frameError("reserved bits are set")
	case second&maskBit == 0:
		return frameError("frame of a client is not masked")
	}
	switch opcode {
	case opContinuation:
		if !r.fragmented {
			return frameError("continuation without a beginning")
		}
	case opText, opBinary:
		if r.fragmented {
			return frameError("new message inside a fragmented one")
		}
	case opClose, opPing, opPong:
		if first&finBit == 0 || second&^maskBit > controlLimit {
			return frameError("control frame is fragmented or too long")
		}
	default:
		return frameError("unknown opcode")
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
			return frameError("frame length is out of range")
		}
	default:
		r.left = uint64(n)
	}
	r.opcode = h[0] & opcodeBits
	if r.opcode < opClose {
		r.fragmented = h[0]&finBit == 0
		if r.opcode != opContinuation {
			r.isText = r.opcode == opText
		}
	}
	copy(r.mask[:], h[len(h)-4:])
	r.maskAt = 0
	r.have = 0
	r.inPayload = true
	return nil
}

// payload passes on b, which may be the payload's end.
func (r *frameReader) payload(b []byte, h frameHandler) error {
	unmask(b, r.mask, &r.maskAt)
	r.left -= uint64(len(b))
	done := r.left == 0
	r.inPayload = !done
	if r.opcode < opClose {
		return r.message(b, done, h)
	}
	if len(r.control) > 0 || !done {
		r.control = append(r.control, b...)
		b = r.control
	}
	if !done {
		return nil
	}
	r.control = nil
	if r.opcode == opClose {
		if err := checkClose(b); err != nil {
			return err
		}
	}
	h.control(r.opcode, b)
	return nil
}

// message passes on bytes of a message; done says that they end their frame.
func (r *frameReader) message(b []byte, done bool, h frameHandler) error {
	if r.isText && !r.text.add(b, done && !r.fragmented) {
		return &webSocketError{closeInvalidData, "text message is not valid UTF-8"}
	}
	h.data(b)
	return nil
}

// checkClose checks the payload of a close frame by RFC 6455, 5.5.1 and 7.4: none, or a code that may be sent and a
// reason in UTF-8.
func checkClose(payload []byte) error {
	switch {
	case len(payload) == 0:
		return nil
	case len(payload) == 1:
		return frameError("close frame with half a code")
	case !mayClose(int(binary.BigEndian.Uint16(payload))):
		return frameError("close frame with a code that must not be sent")
	case !utf8.Valid(payload[2:]):
		return &webSocketError{closeInvalidData, "reason of a close frame is not valid UTF-8"}
	default:
		return nil
	}
}

// mayClose reports whether a close frame may carry this code. 1004 to 1006 and 1015 must not be sent in a frame; 1016 to 2999
// and codes from 5000 on are not defined.
func mayClose(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}

// textChecker checks that text which comes in pieces is valid UTF-8.
type textChecker struct {
	tail [utf8.UTFMax]byte // beginning of a rune whose rest is still to come
	n    uint8             // bytes of it
}

// add takes the next piece, of which last is the end. It returns false if the text is not valid; then it must not be used
// again. The start of the next text needs no reset.
func (t *textChecker) add(b []byte, last bool) bool {
	for t.n > 0 && len(b) > 0 && !utf8.FullRune(t.tail[:t.n]) {
		t.tail[t.n] = b[0]
		t.n++
		b = b[1:]
	}
	if t.n > 0 && utf8.FullRune(t.tail[:t.n]) {
		if !utf8.Valid(t.tail[:t.n]) {
			return false
		}
		t.n = 0
	}
	if t.n == 0 {
		whole := wholeRunes(b)
		t.n = uint8(copy(t.tail[:], b[whole:]))
		b = b[:whole]
	}
	return utf8.Valid(b) && (!last || t.n == 0)
}

// wholeRunes returns the length of b without the rune at its end that more bytes could complete.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
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
