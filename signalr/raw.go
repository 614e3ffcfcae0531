package signalr

import (
	"encoding/json"
	"fmt"
)

// Raw is a value that is still encoded as a client sent it, or as a client is to get it. Given as an argument or a result
// it is copied, or carried over when the connection speaks the other protocol.
type Raw struct {
	Protocol string // "json" or "messagepack"
	Data     []byte // one value
}

// Decode stores the value in what v points to, by the rules of [Arguments.Decode].
func (r Raw) Decode(v any) error {
	p := protocolByName(r.Protocol)
	if p == nil {
		return fmt.Errorf("signalr: raw value of protocol %q", r.Protocol)
	}
	if p.index() == indexMessagePack {
		s := packScanner{b: r.Data}
		if err := s.value(0); err != nil {
			return err
		}
	}
	return p.decode(r.Data, v)
}

// appendJSON appends the value as JSON.
func (r Raw) appendJSON(dst []byte) ([]byte, error) {
	switch r.Protocol {
	case protocolJSON:
		return append(dst, r.Data...), nil
	case protocolMessagePack:
		return appendJSONOfPack(dst, r.Data)
	default:
		return dst, fmt.Errorf("signalr: raw value of protocol %q", r.Protocol)
	}
}

// appendPack appends the value as MessagePack.
func (r Raw) appendPack(dst []byte) ([]byte, error) {
	switch r.Protocol {
	case protocolJSON:
		return AppendMessagePack(dst, json.RawMessage(r.Data))
	case protocolMessagePack:
		s := packScanner{b: r.Data}
		if err := s.value(0); err != nil {
			return dst, err
		}
		if !s.atEnd() {
			return dst, s.fail("bytes after the value")
		}
		return append(dst, r.Data...), nil
	default:
		return dst, fmt.Errorf("signalr: raw value of protocol %q", r.Protocol)
	}
}
