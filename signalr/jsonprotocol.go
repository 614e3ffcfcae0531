package signalr

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// recordSeparator ends each JSON message. JSON text cannot contain it, because control characters are escaped.
const recordSeparator = 0x1e

// jsonProtocol is the text protocol "json".
type jsonProtocol struct{}

var _ protocol = jsonProtocol{}

func (jsonProtocol) name() string { return protocolJSON }
func (jsonProtocol) binary() bool { return false }
func (jsonProtocol) index() int   { return indexJSON }

func (jsonProtocol) next(b []byte, scanned, limit int) ([]byte, int, error) {
	return nextRecord(b, scanned, limit)
}

// nextRecord cuts off what stands before the first record separator. Handshakes are framed so in every protocol.
func nextRecord(b []byte, scanned, limit int) (record []byte, size int, err error) {
	end := bytes.IndexByte(b[scanned:], recordSeparator)
	if end >= 0 {
		end += scanned
		size = end + 1
	} else {
		// The separator is still to come, so a message of len(b) bytes so far takes at least one more.
		size = len(b) + 1
	}
	if limit >= 0 && size > limit {
		return nil, 0, errTooLong(limit)
	}
	if end < 0 {
		return nil, 0, nil
	}
	return b[:end:end], size, nil
}

func (jsonProtocol) decode(argument []byte, v any) error { return json.Unmarshal(argument, v) }

func (jsonProtocol) parse(record []byte, m *message) error {
	m.reset()
	if err := validUTF8(record); err != nil {
		return err
	}
	p := jsonParser{scanner: scanner{b: record}, m: m}
	if err := p.object(1, p.field); err != nil {
		return err
	}
	if !p.atEnd() {
		return p.fail("text after the message")
	}
	return p.check()
}

// jsonParser fills one message. Properties come in any order, so what they must be is checked at the end.
type jsonParser struct {
	scanner
	m    *message
	seen struct{ kind, target, arguments, sequence, payload bool }
}

// field takes the value of one property of the message. Names are case-sensitive; unknown ones are skipped.
func (p *jsonParser) field(key []byte) (err error) {
	m := p.m
	switch string(key) {
	case "type":
		var n int64
		n, err = p.integer()
		m.kind, p.seen.kind = int(n), true
	case "invocationId":
		m.id, _, err = p.stringOrNull()
	case "target":
		m.target, p.seen.target, err = p.stringOrNull()
	case "arguments":
		p.seen.arguments = true
		err = p.arguments()
	case "streamIds":
		err = p.streams()
	case "headers":
		err = p.headers()
	case "item", "result":
		p.seen.payload = true
		m.payload, err = p.value(1)
	case "error":
		var text []byte
		text, m.hasError, err = p.stringOrNull()
		m.errorText = string(text)
	case "allowReconnect":
		var v []byte
		v, err = p.value(1)
		m.allowReconnect = string(v) == "true"
	case "sequenceId":
		m.sequence, err = p.integer()
		p.seen.sequence = true
	default:
		_, err = p.value(1)
	}
	return err
}

// check holds what the type of the message demands.
func (p *jsonParser) check() error {
	m, s := p.m, p.seen
	invocation := m.kind == typeInvocation || m.kind == typeStreamInvocation
	identified := m.kind == typeStreamItem || m.kind == typeCompletion ||
		m.kind == typeStreamInvocation || m.kind == typeCancelInvocation
	switch {
	case !s.kind:
		return dataErrorf("Missing required property 'type'.")
	case invocation && !s.target:
		return dataErrorf("Missing required property 'target'.")
	case invocation && !s.arguments:
		return dataErrorf("Missing required property 'arguments'.")
	case identified && len(m.id) == 0:
		return dataErrorf("Missing required property 'invocationId'.")
	case (m.kind == typeAck || m.kind == typeSequence) && !s.sequence:
		return dataErrorf("Missing 'sequenceId' property.")
	case m.kind == typeStreamItem && !s.payload:
		return dataErrorf("Missing required property 'item'.")
	case m.kind == typeCompletion && m.hasError && s.payload:
		return dataErrorf("The 'error' and 'result' properties are mutually exclusive.")
	}
	return nil
}

func (p *jsonParser) integer() (int64, error) {
	v, err := p.value(1)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return 0, p.fail("expected an integer")
	}
	return n, nil
}

func (p *jsonParser) stringOrNull() (text []byte, there bool, err error) {
	v, err := p.value(1)
	if err != nil || string(v) == "null" {
		return nil, false, err
	}
	if v[0] != '"' {
		return nil, false, p.fail("expected a string")
	}
	text, err = unquote(v)
	return text, true, err
}

func (p *jsonParser) arguments() error {
	p.m.items = p.m.items[:0]
	p.space()
	from := p.i
	err := p.array(2, func(a, b int) { p.m.items = append(p.m.items, span{a - from, b - from}) })
	p.m.arguments = p.b[from:p.i]
	return err
}

// streams passes an array of strings, or null.
func (p *jsonParser) streams() error {
	p.m.streams = p.m.streams[:0]
	if p.peek() == 'n' {
		return p.word("null")
	}
	var bad error
	err := p.array(2, func(a, b int) {
		if p.b[a] != '"' {
			bad = p.fail("expected strings")
			return
		}
		id, err := unquote(p.b[a:b])
		p.m.streams = append(p.m.streams, id)
		bad = errors.Join(bad, err)
	})
	return errors.Join(err, bad)
}

// headers passes an object of strings, or null. Nothing here uses them.
func (p *jsonParser) headers() error {
	if p.peek() == 'n' {
		return p.word("null")
	}
	return p.object(2, func([]byte) error {
		if p.peek() != '"' {
			return p.fail("expected a string as header")
		}
		_, err := p.text()
		return err
	})
}
