package httpapi

import (
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// maxPhone is the longest text that is looked at as a phone number, in code points.
const maxPhone = 64

// The members of a message, as bits of what was there.
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

// draft is a message as far as it is read: its strings are still parts of the scanner's buffer.
type draft struct {
	seen        int // members that were there, good or not
	good        int // strings among them that are
	recipient   text
	content     text
	subject     text
	priority    text
	correlation text
	ttl         time.Duration // zero: none, or none that is good
	sendAt      esh3ar.Time   // likewise
	names       [esh3ar.MaxMetadataPairs]text
	values      [esh3ar.MaxMetadataPairs]text
	pairs       int
}

// messageInput reads messages.
type messageInput struct {
	input
	draft  draft
	phones *auth.Phones
	now    esh3ar.Time
}

// message reads one message object into m. item is its place in a batch, counted from one; zero: the whole body.
func (in *messageInput) message(item int, m *esh3ar.Message) error {
	in.nextItem()
	if in.peek() != '{' {
		return in.wrongType(place{item: item}, "an object")
	}
	in.text, in.draft.seen, in.draft.good, in.draft.pairs, in.strays = in.text[:0], 0, 0, 0, nil
	in.draft.ttl, in.draft.sendAt = 0, 0
	before := len(in.list)
	err := in.object(func(name text) error { return in.member(item, name) })
	if err != nil {
		return err
	}
	if in.draft.seen&hasRecipient == 0 {
		in.note(place{item: item, name: "/recipientPhoneNumber"}, validationFailed, "is required")
	}
	if in.draft.seen&hasContent == 0 {
		in.note(place{item: item, name: "/messageContent"}, validationFailed, "is required")
	}
	if len(in.list) > before && in.draft.good&(hasRecipient|hasPriority) == 0 {
		return nil // nobody will look at it
	}
	in.build(item, m)
	return nil
}

// member reads one member of a message. The names are those of the contract.
func (in *messageInput) member(item int, name text) error {
	d := &in.draft
	switch string(in.bytes(name)) {
	case "recipientPhoneNumber":
		return in.field(name, hasRecipient, &d.recipient, place{item: item, name: "/recipientPhoneNumber"}, 1, maxPhone)
	case "messageContent":
		return in.field(name, hasContent, &d.content, place{item: item, name: "/messageContent"}, 1, esh3ar.MaxContentLength)
	case "subject":
		return in.field(name, hasSubject, &d.subject, place{item: item, name: "/subject"}, 0, esh3ar.MaxSubjectLength)
	case "priority":
		return in.field(name, hasPriority, &d.priority, place{item: item, name: "/priority"}, 0, 64)
	case "correlationId":
		return in.field(name, hasCorrelation, &d.correlation, place{item: item, name: "/correlationId"}, 0, esh3ar.MaxCorrelationIDLength)
	case "metadata":
		return in.once(name, hasMetadata, func() error { return in.metadata(place{item: item, name: "/metadata"}) })
	case "ttlSeconds":
		return in.once(name, hasTTL, func() error { return in.ttl(place{item: item, name: "/ttlSeconds"}) })
	case "sendAt":
		return in.once(name, hasSendAt, func() error { return in.sendAt(place{item: item, name: "/sendAt"}) })
	default:
		return in.unknown(item, name)
	}
}

// once reads a member unless it was there already.
func (in *messageInput) once(name text, bit int, read func() error) error {
	if in.draft.seen&bit != 0 {
		return in.twice(name)
	}
	in.draft.seen |= bit
	in.forget(name)
	return read()
}

// field reads a member that is a string.
func (in *messageInput) field(name text, bit int, into *text, at place, least, most int) error {
	if in.draft.seen&bit != 0 {
		return in.twice(name)
	}
	in.draft.seen |= bit
	in.forget(name)
	t, ok, err := in.string(at, least, most)
	if *into = t; ok {
		in.draft.good |= bit
	}
	return err
}

func (in *messageInput) ttl(at place) error {
	seconds, _, err := in.whole(at, 1, int64(esh3ar.MaxTTL/time.Second))
	in.draft.ttl = time.Duration(seconds) * time.Second
	return err
}

func (in *messageInput) sendAt(at place) error {
	t, ok, err := in.time(at)
	if !ok || err != nil {
		return err
	}
	if in.draft.sendAt = t; t > in.now.Add(esh3ar.MaxAhead) {
		in.note(at, validationFailed, "must be at most 90 days ahead")
	}
	return nil
}

// metadata reads an object of strings.
func (in *messageInput) metadata(at place) error {
	if in.peek() != '{' {
		return in.wrongType(at, "an object of strings")
	}
	count, size := 0, 0
	err := in.object(func(name text) error {
		if in.twiceInMetadata(name) {
			return in.twice(name)
		}
		if name.bad {
			in.note(at.within(in.bytes(name)), invalidCharacter, "must not hold U+0000 or an unpaired surrogate")
		}
		if in.peek() != '"' {
			count++
			return in.wrongType(at.within(in.bytes(name)), "a string")
		}
		value, err := in.scanner.string()
		if value.bad {
			in.note(at.within(in.bytes(name)), invalidCharacter, "must not hold U+0000 or an unpaired surrogate")
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
		in.note(at, validationFailed, "must have at most "+strconv.Itoa(esh3ar.MaxMetadataPairs)+" pairs, has "+strconv.Itoa(count))
	}
	if size > esh3ar.MaxMetadataSize {
		in.note(at, validationFailed, "must have at most "+strconv.Itoa(esh3ar.MaxMetadataSize)+" bytes of names and values, has "+strconv.Itoa(size))
	}
	return err
}

func (p place) within(name []byte) place {
	p.inner = piece(name)
	return p
}

// twiceInMetadata looks among the pairs that are kept: more than those are a fault anyway.
func (in *messageInput) twiceInMetadata(name text) bool {
	for _, other := range in.draft.names[:in.draft.pairs] {
		if string(in.bytes(other)) == string(in.bytes(name)) {
			return true
		}
	}
	return false
}

// build makes the message of the draft, with one copy of all its strings, and checks what only their meaning tells.
func (in *messageInput) build(item int, m *esh3ar.Message) {
	all, d := string(in.text), &in.draft
	m.Priority, m.TTL, m.SendAt = esh3ar.Normal, d.ttl, d.sendAt
	var err error
	if d.good&hasPriority != 0 {
		if m.Priority, err = esh3ar.ParsePriority(all[d.priority.from:d.priority.to]); err != nil {
			in.note(place{item: item, name: "/priority"}, validationFailed, "must be low, normal, high or urgent")
		}
	}
	if d.good&hasRecipient != 0 {
		if m.Recipient, err = in.phones.Parse(all[d.recipient.from:d.recipient.to]); err != nil {
			in.note(place{item: item, name: "/recipientPhoneNumber"}, validationFailed, err.Error())
		}
	}
	if d.good&hasContent != 0 {
		m.Content = all[d.content.from:d.content.to]
	}
	if d.good&hasSubject != 0 {
		m.Subject = all[d.subject.from:d.subject.to]
	}
	if d.good&hasCorrelation != 0 {
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
