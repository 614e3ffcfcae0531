package httpapi

import (
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
)

// maxPhone is the maximum length of a phone number as it is written in a request, in code points.
const maxPhone = 64

// Members of a message, as bits of draft.seen and draft.valid.
const (
	hasRecipient = 1 << iota
	hasContent
	hasSubject
	hasPriority
	hasTTL
	hasSendAt
	hasCorrelation
	hasMetadata
)

// draft is a partly decoded message. Its strings still refer to the scanner's buffer.
type draft struct {
	seen        int // members that are present, valid or not
	valid       int // string members that are valid
	recipient   text
	content     text
	subject     text
	priority    text
	correlation text
	ttl         time.Duration // zero if absent or invalid
	sendAt      esh3ar.Time   // zero if absent or invalid
	names       [esh3ar.MaxMetadataPairs]text
	values      [esh3ar.MaxMetadataPairs]text
	pairs       int
}

// messageInput decodes messages.
type messageInput struct {
	input
	draft  draft
	phones *phonenumber.Parser
	now    esh3ar.Time // start of the request
}

// message decodes one message object into m. item is its index in a batch plus one, or zero if it is the whole body.
func (in *messageInput) message(item int, m *esh3ar.Message) error {
	in.nextItem()
	if in.peek() != '{' {
		return in.wrongType(jsonPath{item: item}, "an object")
	}
	in.text = in.text[:0]
	in.draft.seen = 0
	in.draft.valid = 0
	in.draft.pairs = 0
	in.unknownNames = nil
	in.draft.ttl = 0
	in.draft.sendAt = 0
	before := len(in.list)
	err := in.object(func(name text) error { return in.member(item, name) })
	if err != nil {
		return err
	}
	if in.draft.seen&hasRecipient == 0 {
		in.add(jsonPath{item: item, name: "/recipientPhoneNumber"}, validationFailed, "is required")
	}
	if in.draft.seen&hasContent == 0 {
		in.add(jsonPath{item: item, name: "/messageContent"}, validationFailed, "is required")
	}
	if len(in.list) > before && in.draft.valid&(hasRecipient|hasPriority) == 0 {
		return nil // the message will not be used, and no member is left to check
	}
	in.build(item, m)
	return nil
}

// member decodes one member of a message.
func (in *messageInput) member(item int, name text) error {
	d := &in.draft
	switch string(in.bytes(name)) {
	case "recipientPhoneNumber":
		return in.readString(name, hasRecipient, &d.recipient, jsonPath{item: item, name: "/recipientPhoneNumber"}, 1, maxPhone)
	case "messageContent":
		return in.readString(name, hasContent, &d.content, jsonPath{item: item, name: "/messageContent"}, 1, esh3ar.MaxContentLength)
	case "subject":
		return in.readString(name, hasSubject, &d.subject, jsonPath{item: item, name: "/subject"}, 0, esh3ar.MaxSubjectLength)
	case "priority":
		return in.readString(name, hasPriority, &d.priority, jsonPath{item: item, name: "/priority"}, 0, 64)
	case "correlationId":
		return in.readString(name, hasCorrelation, &d.correlation, jsonPath{item: item, name: "/correlationId"}, 0, esh3ar.MaxCorrelationIDLength)
	case "metadata":
		return in.readOnce(name, hasMetadata, func() error { return in.metadata(jsonPath{item: item, name: "/metadata"}) })
	case "ttlSeconds":
		return in.readOnce(name, hasTTL, func() error { return in.ttl(jsonPath{item: item, name: "/ttlSeconds"}) })
	case "sendAt":
		return in.readOnce(name, hasSendAt, func() error { return in.sendAt(jsonPath{item: item, name: "/sendAt"}) })
	default:
		return in.unknownMember(item, name)
	}
}

// readOnce reads a member, or returns an error if it is a duplicate.
func (in *messageInput) readOnce(name text, bit int, read func() error) error {
	if in.draft.seen&bit != 0 {
		return in.duplicateName(name)
	}
	in.draft.seen |= bit
	in.dropLast(name)
	return read()
}

// readString reads a string member, or returns an error if it is a duplicate.
func (in *messageInput) readString(name text, bit int, into *text, at jsonPath, least, most int) error {
	if in.draft.seen&bit != 0 {
		return in.duplicateName(name)
	}
	in.draft.seen |= bit
	in.dropLast(name)
	t, ok, err := in.string(at, least, most)
	*into = t
	if ok {
		in.draft.valid |= bit
	}
	return err
}

func (in *messageInput) ttl(at jsonPath) error {
	seconds, _, err := in.integer(at, 1, int64(esh3ar.MaxTTL/time.Second))
	in.draft.ttl = time.Duration(seconds) * time.Second
	return err
}

func (in *messageInput) sendAt(at jsonPath) error {
	t, ok, err := in.time(at)
	if !ok || err != nil {
		return err
	}
	in.draft.sendAt = t
	if t > in.now.Add(esh3ar.MaxScheduleAhead) {
		in.add(at, validationFailed, "must be at most 90 days ahead")
	}
	return nil
}

// metadata decodes an object of strings.
func (in *messageInput) metadata(at jsonPath) error {
	if in.peek() != '{' {
		return in.wrongType(at, "an object of strings")
	}
	count, size := 0, 0
	err := in.object(func(name text) error {
		if in.hasMetadataName(name) {
			return in.duplicateName(name)
		}
		if name.invalid {
			in.add(at.member(in.bytes(name)), invalidCharacter, "must not contain U+0000 or an unpaired surrogate")
		}
		if in.peek() != '"' {
			count++
			return in.wrongType(at.member(in.bytes(name)), "a string")
		}
		value, err := in.scanner.string()
		if value.invalid {
			in.add(at.member(in.bytes(name)), invalidCharacter, "must not contain U+0000 or an unpaired surrogate")
		}
		if d := &in.draft; d.pairs < len(d.names) {
			d.names[d.pairs], d.values[d.pairs] = name, value
			d.pairs++
		}
		count++
		size += name.to - name.from + value.to - value.from
		return err
	})
	if count > esh3ar.MaxMetadataPairs {
		in.add(at, validationFailed, "must have at most "+strconv.Itoa(esh3ar.MaxMetadataPairs)+" pairs, has "+strconv.Itoa(count))
	}
	if size > esh3ar.MaxMetadataSize {
		in.add(at, validationFailed, "must have at most "+strconv.Itoa(esh3ar.MaxMetadataSize)+" bytes of names and values, has "+strconv.Itoa(size))
	}
	return err
}

// member returns the path of a member of the value at p.
func (p jsonPath) member(name []byte) jsonPath {
	p.inner = pointerSegment(name)
	return p
}

// hasMetadataName reports whether the draft has a pair with this name. Pairs beyond the maximum are not searched: they are
// a fault in any case.
func (in *messageInput) hasMetadataName(name text) bool {
	for _, other := range in.draft.names[:in.draft.pairs] {
		if string(in.bytes(other)) == string(in.bytes(name)) {
			return true
		}
	}
	return false
}

// build fills m from the draft. It copies all strings in one allocation, and validates priority and recipient.
func (in *messageInput) build(item int, m *esh3ar.Message) {
	all, d := string(in.text), &in.draft
	m.Priority = esh3ar.Normal
	m.TTL = d.ttl
	m.SendAt = d.sendAt
	var err error
	if d.valid&hasPriority != 0 {
		m.Priority, err = esh3ar.ParsePriority(all[d.priority.from:d.priority.to])
		if err != nil {
			in.add(jsonPath{item: item, name: "/priority"}, validationFailed, "must be low, normal, high or urgent")
		}
	}
	if d.valid&hasRecipient != 0 {
		m.Recipient, err = in.phones.Parse(all[d.recipient.from:d.recipient.to])
		if err != nil {
			in.add(jsonPath{item: item, name: "/recipientPhoneNumber"}, validationFailed, err.Error())
		}
	}
	if d.valid&hasContent != 0 {
		m.Content = all[d.content.from:d.content.to]
	}
	if d.valid&hasSubject != 0 {
		m.Subject = all[d.subject.from:d.subject.to]
	}
	if d.valid&hasCorrelation != 0 {
		m.CorrelationID = all[d.correlation.from:d.correlation.to]
	}
	if d.pairs > 0 {
		m.Metadata = make(map[string]string, d.pairs)
		for i := range d.pairs {
			name, value := d.names[i], d.values[i]
			m.Metadata[all[name.from:name.to]] = all[value.from:value.to]
		}
	}
}
