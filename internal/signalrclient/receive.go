package signalrclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// Message is a message as a phone receives it. Without full, Next sets only ID, Seq, Priority, Attempt and Content.
type Message struct {
	ID       string `json:"id"`
	Seq      uint64 `json:"seq"`
	Priority string `json:"priority"`
	Attempt  int    `json:"attempt"`

	Content   string            `json:"messageContent"`
	Subject   string            `json:"subject"`
	From      string            `json:"from"`
	CreatedAt esh3ar.Time       `json:"createdAt"`
	Metadata  map[string]string `json:"metadata"`
}

// Event is what the server sends: messages, the completion of an invocation, or an invocation of another method.
type Event struct {
	Live       bool // from ReceiveMessage; else from ReceivePendingMessages
	Messages   []Message
	Completion string // id of the completed invocation; empty if none
	Error      string // error of the completion
	Result     json.RawMessage
	Target     string // method of an invocation other than those of the phone hub; empty if none
	Arguments  []json.RawMessage
}

var (
	pushHead       = []byte(`{"type":1,"target":"ReceiveMessage"`)
	backlogHead    = []byte(`{"type":1,"target":"ReceivePendingMessages"`)
	completionHead = []byte(`{"type":3,"invocationId":"`)
	messageHead    = []byte(`{"id":"`)
	seqName        = []byte(`"seq":`)
	priorityName   = []byte(`"priority":"`)
	attemptName    = []byte(`"attempt":`)
	contentName    = []byte(`"messageContent":"`)
	resultName     = []byte(`,"result":`)
)

// Next appends the next events to events; full decodes all fields of messages. The result is valid until the next call. Next
// skips pings.
func (c *Conn) Next(events []Event, full bool) ([]Event, error) {
	for len(events) == 0 {
		text, err := c.message()
		if err != nil {
			return events, err
		}
		for len(text) > 0 {
			record, rest, whole := bytes.Cut(text, []byte{0x1e})
			if !whole {
				return events, fmt.Errorf("a hub message was cut: %.80q", record)
			}
			text = rest
			event, ok, err := decode(record, full)
			if err != nil {
				return events, err
			}
			if ok {
				events = append(events, event)
			}
		}
	}
	return events, nil
}

func decode(record []byte, full bool) (event Event, ok bool, err error) {
	if bytes.HasPrefix(record, pushHead) || bytes.HasPrefix(record, backlogHead) {
		event.Live = bytes.HasPrefix(record, pushHead)
		if full {
			event.Messages, err = decodeMessages(record, event.Live)
		} else {
			event.Messages = scanMessages(record)
		}
		return event, true, err
	}
	if bytes.HasPrefix(record, completionHead) && !full {
		return scanCompletion(record), true, nil
	}
	var m struct {
		Type           int
		InvocationID   string
		Error          string
		AllowReconnect bool
		Result         json.RawMessage
		Target         string
		Arguments      []json.RawMessage
	}
	if err := json.Unmarshal(record, &m); err != nil {
		return event, false, fmt.Errorf("hub message %.80q: %w", record, err)
	}
	switch m.Type {
	case 1:
		return Event{Target: m.Target, Arguments: m.Arguments}, true, nil
	case 3:
		return Event{Completion: m.InvocationID, Error: m.Error, Result: m.Result}, true, nil
	case 7:
		return event, false, &ErrClosed{m.Error, m.AllowReconnect}
	}
	return event, false, nil
}

func decodeMessages(record []byte, live bool) ([]Message, error) {
	var invocation struct{ Arguments []json.RawMessage }
	if err := json.Unmarshal(record, &invocation); err != nil || len(invocation.Arguments) != 1 {
		return nil, fmt.Errorf("push %.80q: %w", record, err)
	}
	if live {
		messages := make([]Message, 1)
		return messages, json.Unmarshal(invocation.Arguments[0], &messages[0])
	}
	var messages []Message
	return messages, json.Unmarshal(invocation.Arguments[0], &messages)
}

// scanCompletion extracts id, result and error of a completion without full decoding.
func scanCompletion(record []byte) Event {
	var event Event
	id, rest, _ := bytes.Cut(record[len(completionHead):], []byte{'"'})
	event.Completion = string(id)
	if bytes.HasPrefix(rest, resultName) {
		event.Result = bytes.Clone(bytes.TrimSuffix(rest[len(resultName):], []byte{'}'}))
	} else if bytes.Contains(rest, []byte(`"error":`)) {
		event.Error = string(record)
	}
	return event
}

// Scan extracts the messages from the result of Sync, as Next does without full.
func Scan(result json.RawMessage) []Message { return scanMessages(result) }

// scanMessages extracts the first fields of messages without full decoding. It relies on the order of fields of our server, and
// on messages without metadata and escapes, as the load generators send them. Quotes inside strings are escaped, so the names
// cannot occur there.
func scanMessages(record []byte) (messages []Message) {
	for {
		at := bytes.Index(record, messageHead)
		if at < 0 || len(record) < at+len(messageHead)+36 {
			return messages
		}
		record = record[at+len(messageHead):]
		m := Message{ID: string(record[:36])}
		m.Seq = number(record, seqName)
		if at := bytes.Index(record, priorityName); at >= 0 {
			name, _, _ := bytes.Cut(record[at+len(priorityName):], []byte{'"'})
			m.Priority = string(name)
		}
		m.Attempt = int(number(record, attemptName))
		if at := bytes.Index(record, contentName); at >= 0 {
			text, _, _ := bytes.Cut(record[at+len(contentName):], []byte{'"'})
			m.Content = string(text)
		}
		messages = append(messages, m)
	}
}

func number(text, name []byte) uint64 {
	at := bytes.Index(text, name)
	if at < 0 {
		return 0
	}
	text = text[at+len(name):]
	end := 0
	for end < len(text) && text[end]-'0' <= 9 {
		end++
	}
	n, err := strconv.ParseUint(string(text[:end]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
