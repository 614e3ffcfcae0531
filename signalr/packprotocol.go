package signalr

import "math"

// packProtocol is the binary protocol "messagepack".
type packProtocol struct{}

var _ protocol = packProtocol{}

func (packProtocol) name() string { return protocolMessagePack }
func (packProtocol) binary() bool { return true }
func (packProtocol) index() int   { return indexMessagePack }

// maxVarint is the maximum number of bytes of a message's length: five times seven bits, of which 31 may be used.
const maxVarint = 5

// next returns the first message of b, which begins with its length. The length is checked as soon as it is complete, so
// that no bytes are buffered for a message that will be refused.
func (packProtocol) next(b []byte, _, limit int) (record []byte, size int, err error) {
	var n uint64
	for i := 0; ; i++ {
		if i == maxVarint || n > math.MaxInt32 {
			return nil, 0, dataErrorf("Messages over 2GB in size are not supported.")
		}
		if i == len(b) {
			return nil, 0, nil
		}
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return cutPack(b, i+1, n, limit)
		}
	}
}

// cutPack returns a message of n bytes after a length of prefix bytes.
func cutPack(b []byte, prefix int, n uint64, limit int) (record []byte, size int, err error) {
	if n > math.MaxInt32 {
		return nil, 0, dataErrorf("Messages over 2GB in size are not supported.")
	}
	size = prefix + int(n)
	if limit >= 0 && size > limit {
		return nil, 0, errTooLong(limit)
	}
	if size > len(b) {
		return nil, 0, nil
	}
	return b[prefix:size:size], size, nil
}

func (packProtocol) parse(record []byte, m *message) error {
	m.reset()
	p := packParser{packScanner{b: record}, m, 0}
	if err := p.message(); err != nil {
		return err
	}
	for ; p.left > 0; p.left-- { // newer versions may have more items
		if err := p.value(1); err != nil {
			return err
		}
	}
	if !p.atEnd() {
		return p.fail("bytes after the message")
	}
	return nil
}

// packParser parses one message: an array whose items have fixed positions.
type packParser struct {
	packScanner
	m    *message
	left uint64 // number of items of the message not yet read
}

func (p *packParser) message() (err error) {
	if p.left, err = p.count(packArray, "message"); err != nil {
		return err
	}
	kind, err := p.integer("type")
	if err != nil {
		return err
	}
	if kind < 0 || kind > math.MaxInt32 {
		return nil // unknown message types are ignored
	}
	p.m.kind = int(kind)
	switch p.m.kind {
	case typeInvocation, typeStreamInvocation:
		return p.invocation()
	case typeStreamItem:
		return p.item()
	case typeCompletion:
		return p.completion()
	case typeCancelInvocation:
		return p.identified()
	case typeClose:
		return p.closing()
	case typeAck, typeSequence:
		p.m.sequence, err = p.integer("sequenceId")
	}
	return err
}

func (p *packParser) invocation() (err error) {
	if err = p.headers(); err != nil {
		return err
	}
	if p.m.id, _, err = p.text("invocationId"); err != nil {
		return err
	}
	if p.m.kind == typeStreamInvocation && len(p.m.id) == 0 {
		return p.fail("'invocationId' is missing")
	}
	there := false
	if p.m.target, there, err = p.text("target"); err != nil {
		return err
	}
	if !there {
		return p.fail("'target' is missing")
	}
	if err = p.arguments(); err != nil || p.left == 0 { // old clients omit the stream ids
		return err
	}
	return p.streams()
}

func (p *packParser) item() error {
	err := p.identified()
	if err == nil {
		p.m.payload, err = p.payload("item")
	}
	return err
}

// Kinds of completions.
const (
	packFailed    = 1
	packVoid      = 2
	packSucceeded = 3
)

func (p *packParser) completion() error {
	err := p.identified()
	if err != nil {
		return err
	}
	kind, err := p.integer("resultKind")
	if err != nil {
		return err
	}
	switch kind {
	case packFailed:
		var text []byte
		text, _, err = p.text("error")
		p.m.errorText, p.m.hasError = string(text), true
	case packVoid:
	case packSucceeded:
		p.m.payload, err = p.payload("result")
	default:
		err = p.fail("unknown kind of completion")
	}
	return err
}

func (p *packParser) closing() error {
	text, there, err := p.text("error")
	p.m.errorText, p.m.hasError = string(text), there
	if err != nil || p.left == 0 {
		return err
	}
	h, err := p.next("allowReconnect")
	if err == nil && h.kind != packBool {
		err = p.fail("'allowReconnect' is no boolean")
	}
	p.m.allowReconnect = h.n == 1
	return err
}

// identified reads the headers and the invocation id, which must not be empty.
func (p *packParser) identified() (err error) {
	if err = p.headers(); err != nil {
		return err
	}
	p.m.id, _, err = p.text("invocationId")
	if err == nil && len(p.m.id) == 0 {
		err = p.fail("'invocationId' is missing")
	}
	return err
}

// next reads the head of the message's next item.
func (p *packParser) next(what string) (h packHead, err error) {
	if p.left == 0 {
		return h, p.fail("'" + what + "' is missing")
	}
	p.left--
	return p.head()
}

func (p *packParser) integer(what string) (int64, error) {
	h, err := p.next(what)
	if err != nil {
		return 0, err
	}
	if h.kind == packInt || h.kind == packUint && h.n <= math.MaxInt64 {
		return int64(h.n), nil
	}
	return 0, p.fail("'" + what + "' is no integer")
}

// text reads a string or nil.
func (p *packParser) text(what string) (b []byte, there bool, err error) {
	h, err := p.next(what)
	switch {
	case err != nil || h.kind == packNil:
		return nil, false, err
	case h.kind != packString:
		return nil, false, p.fail("'" + what + "' is no string")
	}
	return p.take(h.n), true, nil
}

// payload reads any value and returns it in encoded form.
func (p *packParser) payload(what string) ([]byte, error) {
	from := p.i
	h, err := p.next(what)
	if err == nil {
		err = p.rest(h, 1)
	}
	if err != nil {
		return nil, err
	}
	return p.b[from:p.i:p.i], nil
}

// count reads the head of an array or a map and returns the number of its elements.
func (p *packParser) count(kind packKind, what string) (uint64, error) {
	h, err := p.head()
	if err == nil && h.kind != kind {
		err = p.fail("'" + what + "' is of the wrong type")
	}
	return h.n, err
}

func (p *packParser) arguments() error {
	if p.left == 0 {
		return p.fail("'arguments' is missing")
	}
	p.left--
	from := p.i
	n, err := p.count(packArray, "arguments")
	for ; n > 0 && err == nil; n-- {
		at := p.i
		err = p.value(2)
		p.m.items = append(p.m.items, span{at - from, p.i - from})
	}
	p.m.arguments = p.b[from:p.i]
	return err
}

func (p *packParser) streams() error {
	h, err := p.next("streamIds")
	if err != nil || h.kind == packNil {
		return err
	}
	if h.kind != packArray {
		return p.fail("'streamIds' is no array")
	}
	for range h.n {
		id, err := p.head()
		if err != nil {
			return err
		}
		if id.kind != packString {
			return p.fail("a stream id is no string")
		}
		p.m.streams = append(p.m.streams, p.take(id.n))
	}
	return nil
}

// headers skips the headers, a map of strings. They are not used.
func (p *packParser) headers() error {
	if p.left == 0 {
		return p.fail("'headers' is missing")
	}
	p.left--
	n, err := p.count(packMap, "headers")
	for n *= 2; n > 0 && err == nil; n-- {
		var h packHead
		if h, err = p.head(); err == nil && h.kind != packString {
			err = p.fail("a header is no string")
		}
		if err == nil {
			p.take(h.n)
		}
	}
	return err
}
