package signalr

import (
	"fmt"
	"strings"
)

// Arguments are the arguments of a call, still encoded as the connection's protocol has it.
type Arguments struct {
	proto protocol
	items [][]byte
}

// bindError is a failure to make a handler's arguments out of what was sent. It is told to the caller apart from an
// error of the handler.
type bindError struct {
	dataError
	cause error // which argument and why; for logs. nil: the text says it all
}

// Unwrap makes a bind error a data error for those who name it to clients.
func (e *bindError) Unwrap() error { return &e.dataError }

// Len returns how many arguments the client sent.
func (a Arguments) Len() int { return len(a.items) }

// Decode stores argument i in what v points to, by the rules of encoding/json in both protocols; in MessagePack, []byte
// reads binary data, [time.Time] a timestamp, and an any gets integers as int64. It panics when there is no argument i;
// see [Arguments.Len].
func (a Arguments) Decode(i int, v any) error {
	if err := a.proto.decode(a.items[i], v); err != nil {
		return &bindError{
			dataError{"Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked."},
			fmt.Errorf("argument %d into %s: %w", i+1, strings.TrimPrefix(fmt.Sprintf("%T", v), "*"), err),
		}
	}
	return nil
}

// Raw returns argument i as it was sent. It may be kept and must not be changed.
func (a Arguments) Raw(i int) Raw { return Raw{Protocol: a.proto.name(), Data: a.items[i]} }

func (a Arguments) expect(n int) error {
	if len(a.items) == n {
		return nil
	}
	return &bindError{dataError: dataError{fmt.Sprintf("Invocation provides %d argument(s) but target expects %d.", len(a.items), n)}}
}
