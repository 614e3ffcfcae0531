package httpapi

import (
	"strconv"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar"
)

// place is where a value stands in a body. Its JSON pointer is written out for a fault only.
type place struct {
	item  int    // of a batch call: the message's index plus one; zero: the body itself
	name  string // of the member, as a piece of a pointer: "/subject"
	inner string // of a member of that member, likewise
}

func (p place) pointer() string {
	if p.item == 0 {
		return p.name + p.inner
	}
	return "/messages/" + strconv.Itoa(p.item-1) + p.name + p.inner
}

// piece is the part of a pointer that names a member (RFC 6901).
func piece(name []byte) string {
	return "/" + pieces.Replace(string(name))
}

var pieces = strings.NewReplacer("~", "~0", "/", "~1")

// input reads typed values of a body and notes their faults.
type input struct {
	scanner
	faults
	strays map[string]bool // names that no call has, to find those given twice
}

func (in *input) reset(body []byte) {
	in.scanner.reset(body)
	in.list, in.inItem, in.strays = nil, 0, nil
}

// string reads a string of least to most code points. ok says that it is one; otherwise its fault is noted.
func (in *input) string(at place, least, most int) (t text, ok bool, err error) {
	if in.peek() != '"' {
		return t, false, in.wrongType(at, "a string")
	}
	if t, err = in.scanner.string(); err != nil {
		return t, false, err
	}
	switch {
	case t.bad:
		in.note(at, invalidCharacter, "must not hold U+0000 or an unpaired surrogate")
	case t.runes < least && least == 1:
		in.note(at, validationFailed, "must not be empty")
	case t.runes > most:
		in.note(at, validationFailed, "must have at most "+strconv.Itoa(most)+" characters, has "+strconv.Itoa(t.runes))
	default:
		return t, true, nil
	}
	return t, false, nil
}

// word is string for those who want a copy at once.
func (in *input) word(at place, least, most int) (string, error) {
	t, ok, err := in.string(at, least, most)
	if !ok || err != nil {
		return "", err
	}
	return string(in.bytes(t)), nil
}

// wrongType notes the fault and passes the value.
func (in *input) wrongType(at place, want string) error {
	in.note(at, validationFailed, "must be "+want)
	return in.skip()
}

// whole reads an integer from least to most. As in JSON Schema 60.0 and 6e1 are integers too.
func (in *input) whole(at place, least, most int64) (n int64, ok bool, err error) {
	if c := in.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false, in.wrongType(at, "a whole number")
	}
	digits, err := in.number()
	if err != nil {
		return 0, false, err
	}
	f, err := strconv.ParseFloat(string(digits), 64) // exact for all that is in range; too large gives an infinity
	if n = int64(f); err != nil || float64(n) != f || n < least || n > most {
		in.note(at, validationFailed, "must be a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return 0, false, nil
	}
	return n, true, nil
}

// real reads a number from least to most.
func (in *input) real(at place, least, most float64) (f float64, ok bool, err error) {
	if c := in.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false, in.wrongType(at, "a number")
	}
	digits, err := in.number()
	if err != nil {
		return 0, false, err
	}
	if f, err = strconv.ParseFloat(string(digits), 64); err != nil || f < least || f > most {
		in.note(at, validationFailed, "must be a number from "+strconv.FormatFloat(least, 'f', -1, 64)+" to "+strconv.FormatFloat(most, 'f', -1, 64))
		return 0, false, nil
	}
	return f, true, nil
}

// boolean reads true or false.
func (in *input) boolean(at place) (value, ok bool, err error) {
	c := in.peek()
	if c != 't' && c != 'f' {
		return false, false, in.wrongType(at, "true or false")
	}
	return c == 't', true, in.literal()
}

// time reads an RFC 3339 time.
func (in *input) time(at place) (t esh3ar.Time, ok bool, err error) {
	read, ok, err := in.string(at, 0, 64)
	if !ok || err != nil {
		return 0, false, err
	}
	if t.UnmarshalText(in.bytes(read)) != nil {
		in.note(at, validationFailed, "must be a time such as "+esh3ar.TimeOf(time.Unix(1_893_456_000, 0)).String())
		return 0, false, nil
	}
	return t, true, nil
}

// maxStrays bounds the memory for names that nobody asked for.
const maxStrays = 1000

// unknown notes a member that the call does not have.
func (in *input) unknown(item int, name text) error {
	p := place{item: item, name: piece(in.bytes(name))}
	if in.strays[p.name] {
		return in.twice(name)
	}
	if len(in.strays) < maxStrays {
		if in.strays == nil {
			in.strays = map[string]bool{}
		}
		in.strays[p.name] = true
	}
	in.note(p, validationFailed, "unknown field")
	in.forget(name)
	return in.skip()
}

// twice is the error for a name that its object has already: what the document says is then not clear to anybody.
func (in *input) twice(name text) error {
	shown := in.bytes(name)
	return in.fail("the name " + strconv.Quote(string(shown[:min(len(shown), 64)])) + " appears twice, the second time")
}

// member is a member that a flat object may have.
type member struct {
	name     string
	required bool
	read     func(in *input, at place) error
}

// phoneMember is a member that is a phone number.
func (a *API) phoneMember(name string, required bool, into *esh3ar.Recipient) member {
	return member{name: name, required: required, read: func(in *input, at place) error {
		text, err := in.word(at, 1, maxPhone)
		if err != nil || text == "" {
			return err
		}
		if *into, err = a.Phones.Parse(text); err != nil {
			in.note(at, validationFailed, err.Error())
		}
		return nil
	}}
}

// wordMember is a member that is a string of 1 to most code points.
func wordMember(name string, most int, into *string) member {
	return member{name: name, read: func(in *input, at place) (err error) {
		*into, err = in.word(at, 1, most)
		return err
	}}
}

// flat reads a body that is one object with these members.
func (in *input) flat(members ...member) error {
	if in.peek() != '{' {
		return in.last(in.wrongType(place{}, "an object"))
	}
	seen := make([]bool, len(members))
	err := in.object(func(name text) error {
		for i, m := range members {
			if string(in.bytes(name)) != m.name {
				continue
			}
			if seen[i] {
				return in.twice(name)
			}
			seen[i] = true
			return m.read(in, place{name: "/" + m.name})
		}
		return in.unknown(0, name)
	})
	for i, m := range members {
		if m.required && !seen[i] {
			in.note(place{name: "/" + m.name}, validationFailed, "is required")
		}
	}
	return in.last(err)
}

// last ends the reading: the error that stopped it, what stands behind the document, or all faults.
func (in *input) last(err error) error {
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return invalidJSON.problem(err.Error())
	}
	return in.faults.problem()
}
