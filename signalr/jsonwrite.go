package signalr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"
)

// JSONAppender is an argument or result that writes itself as JSON, without the reflection of encoding/json. What it
// appends must be one valid JSON value.
type JSONAppender interface {
	AppendJSON(dst []byte) ([]byte, error)
}

// AppendInvocation appends a whole invocation of the client's method in the JSON protocol, framing included. The
// arguments are copied as they are and must be valid JSON. Several may be appended one after another.
func AppendInvocation(dst []byte, target string, args ...json.RawMessage) []byte {
	dst = appendInvocationHead(dst, "", target)
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a...)
	}
	return append(dst, ']', '}', recordSeparator)
}

func appendInvocationHead(dst []byte, id, target string) []byte {
	dst = append(dst, `{"type":1,`...)
	if id != "" {
		dst = append(appendJSONString(append(dst, `"invocationId":`...), id), ',')
	}
	dst = appendJSONString(append(dst, `"target":`...), target)
	return append(dst, `,"arguments":[`...)
}

func (p jsonProtocol) appendInvocation(dst []byte, target string, args []any) ([]byte, error) {
	return p.appendRequest(dst, "", target, args)
}

func (jsonProtocol) appendRequest(dst []byte, id, target string, args []any) ([]byte, error) {
	dst = appendInvocationHead(dst, id, target)
	var err error
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendJSON(dst, a); err != nil {
			return nil, fmt.Errorf("signalr: encode argument %d of %s: %w", i, target, err)
		}
	}
	return append(dst, ']', '}', recordSeparator), nil
}

func (jsonProtocol) appendPing(dst []byte) []byte {
	return append(dst, `{"type":6}`+"\x1e"...)
}

func (jsonProtocol) appendClose(dst []byte, text string, allowReconnect bool) []byte {
	dst = append(dst, `{"type":7`...)
	if text != "" {
		dst = appendJSONString(append(dst, `,"error":`...), text)
	}
	if allowReconnect {
		dst = append(dst, `,"allowReconnect":true`...)
	}
	return append(dst, '}', recordSeparator)
}

func (jsonProtocol) appendAck(dst []byte, sequence int64) []byte {
	return appendSequenceID(append(dst, `{"type":8,"sequenceId":`...), sequence)
}

func (jsonProtocol) appendSequence(dst []byte, sequence int64) []byte {
	return appendSequenceID(append(dst, `{"type":9,"sequenceId":`...), sequence)
}

func appendSequenceID(dst []byte, sequence int64) []byte {
	return append(strconv.AppendInt(dst, sequence, 10), '}', recordSeparator)
}

func (jsonProtocol) appendCompletion(dst []byte, id string, result any, text string, failed bool) ([]byte, error) {
	dst = appendJSONString(append(dst, `{"type":3,"invocationId":`...), id)
	var err error
	switch {
	case failed:
		dst = appendJSONString(append(dst, `,"error":`...), text)
	case result != nil:
		if dst, err = appendJSON(append(dst, `,"result":`...), result); err != nil {
			return nil, fmt.Errorf("signalr: encode result: %w", err)
		}
	}
	return append(dst, '}', recordSeparator), nil
}

func (jsonProtocol) appendStreamItem(dst []byte, id string, item any) ([]byte, error) {
	dst = appendJSONString(append(dst, `{"type":2,"invocationId":`...), id)
	dst, err := appendJSON(append(dst, `,"item":`...), item)
	if err != nil {
		return nil, fmt.Errorf("signalr: encode item: %w", err)
	}
	return append(dst, '}', recordSeparator), nil
}

// encoder is an encoding/json encoder that does not escape HTML, kept with its buffer.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false)
	return e
}}

func appendJSON(dst []byte, v any) ([]byte, error) {
	from := len(dst)
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case json.RawMessage:
		return checkRaw(append(dst, v...), from)
	case Raw:
		dst, err := v.appendJSON(dst)
		if err != nil {
			return nil, err
		}
		return checkRaw(dst, from)
	case JSONAppender:
		dst, err := v.AppendJSON(dst)
		if err != nil {
			return nil, err
		}
		return checkRaw(dst, from)
	case string:
		return appendJSONString(dst, v), nil
	}
	e := encoders.Get().(*encoder) //nolint:forcetypeassert // the pool holds nothing else
	defer encoders.Put(e)
	e.buf.Reset()
	if err := e.enc.Encode(v); err != nil {
		return nil, err
	}
	return append(dst, bytes.TrimSuffix(e.buf.Bytes(), []byte{'\n'})...), nil
}

// checkRaw guards the framing against JSON that others made: a record separator in it would end the message early.
func checkRaw(dst []byte, from int) ([]byte, error) {
	if len(dst) == from || bytes.IndexByte(dst[from:], recordSeparator) >= 0 {
		return nil, errRecordSeparator
	}
	return dst, nil
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s quoted, escaping only what JSON demands. Invalid UTF-8 becomes U+FFFD.
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))])); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[from:i]...), "\uFFFD"...)
		} else if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		} else {
			dst = appendEscape(append(dst, s[from:i]...), c)
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
