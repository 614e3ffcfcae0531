package httpapi

import (
	"strconv"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar"
)

// jsonPath is the path of a value in a body. It is formatted as a JSON pointer only for a fault.
type jsonPath struct {
	item  int    // index of the message in a batch plus one; zero outside a batch
	name  string // segment of the member, such as "/subject"; empty: the object itself
	inner string // segment of a member of that member; empty if there is none
}

func (p jsonPath) pointer() string {
	if p.item == 0 {
		return p.name + p.inner
	}
	return "/messages/" + strconv.Itoa(p.item-1) + p.name + p.inner
}

// pointerSegment returns the segment of a JSON pointer that names a member (RFC 6901).
func pointerSegment(name []byte) string {
	return "/" + pointerEscaper.Replace(string(name))
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// input reads typed values of a body and collects their faults.
type input struct {
	scanner
	faults
	unknownNames map[string]bool // unknown members seen so far, to find duplicates
}

func (in *input) reset(body []byte) {
	in.scanner.reset(body)
	in.list = nil
	in.itemFaults = 0
	in.unknownNames = nil
}

// string reads a string of least to most code points. If the value is anything else, it adds a fault and returns ok false.
func (in *input) string(at jsonPath, least, most int) (t text, ok bool, err error) {
	if in.peek() != '"' {
		return t, false, in.wrongType(at, "a string")
	}
	if t, err = in.scanner.string(); err != nil {
		return t, false, err
	}
	switch {
	case t.invalid:
		in.add(at, invalidCharacter, "must not contain U+0000 or an unpaired surrogate")
	case t.runes < least && least == 1:
		in.add(at, validationFailed, "must not be empty")
	case t.runes > most:
		in.add(at, validationFailed, "must have at most "+strconv.Itoa(most)+" characters, has "+strconv.Itoa(t.runes))
	default:
		return t, true, nil
	}
	return t, false, nil
}

// stringValue reads a string as string does and returns a copy, or "" after a fault.
func (in *input) stringValue(at jsonPath, least, most int) (string, error) {
	t, ok, err := in.string(at, least, most)
	if !ok || err != nil {
		return "", err
	}
	return string(in.bytes(t)), nil
}

// wrongType adds a fault and skips the value.
func (in *input) wrongType(at jsonPath, want string) error {
	in.add(at, validationFailed, "must be "+want)
	return in.skipValue()
}

// integer reads an integer from least to most. As in JSON Schema, 60.0 and 6e1 are integers.
func (in *input) integer(at jsonPath, least, most int64) (n int64, ok bool, err error) {
	if c := in.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false, in.wrongType(at, "a whole number")
	}
	digits, err := in.number()
	if err != nil {
		return 0, false, err
	}
	f, err := strconv.ParseFloat(string(digits), 64) // exact in the ranges in use; an error if it overflows
	n = int64(f)
	if err != nil || float64(n) != f || n < least || n > most {
		in.add(at, validationFailed, "must be a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return 0, false, nil
	}
	return n, true, nil
}

// float reads a number from least to most.
func (in *input) float(at jsonPath, least, most float64) (f float64, ok bool, err error) {
	if c := in.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false, in.wrongType(at, "a number")
	}
	digits, err := in.number()
	if err != nil {
		return 0, false, err
	}
	f, err = strconv.ParseFloat(string(digits), 64)
	if err != nil || f < least || f > most {
		in.add(at, validationFailed, "must be a number from "+strconv.FormatFloat(least, 'f', -1, 64)+" to "+strconv.FormatFloat(most, 'f', -1, 64))
		return 0, false, nil
	}
	return f, true, nil
}

// boolean reads true or false.
func (in *input) boolean(at jsonPath) (value, ok bool, err error) {
	c := in.peek()
	if c != 't' && c != 'f' {
		return false, false, in.wrongType(at, "true or false")
	}
	return c == 't', true, in.literal()
}

// time reads an RFC 3339 time.
func (in *input) time(at jsonPath) (t esh3ar.Time, ok bool, err error) {
	read, ok, err := in.string(at, 0, 64)
	if !ok || err != nil {
		return 0, false, err
	}
	if t.UnmarshalText(in.bytes(read)) != nil {
		in.add(at, validationFailed, "must be a time such as "+esh3ar.TimeOf(time.Unix(1_893_456_000, 0)).String())
		return 0, false, nil
	}
	return t, true, nil
}

// maxUnknownNames bounds the unknown members that are remembered for one object.
const maxUnknownNames = 1000

// unknownMember adds a fault for a member that is not in the schema and skips its value.
func (in *input) unknownMember(item int, name text) error {
	p := jsonPath{item: item, name: pointerSegment(in.bytes(name))}
	if in.unknownNames[p.name] {
		return in.duplicateName(name)
	}
	if len(in.unknownNames) < maxUnknownNames {
		if in.unknownNames == nil {
			in.unknownNames = map[string]bool{}
		}
		in.unknownNames[p.name] = true
	}
	in.add(p, validationFailed, "unknown field")
	in.dropLast(name)
	return in.skipValue()
}

// duplicateName returns the error for a name that appears twice in its object. RFC 8259 leaves the meaning of such an
// object undefined.
func (in *input) duplicateName(name text) error {
	shown := in.bytes(name)
	return in.fail("duplicate name " + strconv.Quote(string(shown[:min(len(shown), 64)])))
}

// member describes a member of a flat object: its name and how to read it.
type member struct {
	name     string
	required bool
	read     func(in *input, at jsonPath) error
}

// phoneMember returns a member that holds a phone number.
func (a *API) phoneMember(name string, required bool, into *esh3ar.Recipient) member {
	return member{name: name, required: required, read: func(in *input, at jsonPath) error {
		text, err := in.stringValue(at, 1, maxPhone)
		if err != nil || text == "" {
			return err
		}
		*into, err = a.Phones.Parse(text)
		if err != nil {
			in.add(at, validationFailed, err.Error())
		}
		return nil
	}}
}

// stringMember returns a member that holds a string of 1 to most code points.
func stringMember(name string, most int, into *string) member {
	return member{name: name, read: func(in *input, at jsonPath) (err error) {
		*into, err = in.stringValue(at, 1, most)
		return err
	}}
}

// flatObject decodes a body that is one object with these members.
func (in *input) flatObject(members ...member) error {
	if in.peek() != '{' {
		return in.finish(in.wrongType(jsonPath{}, "an object"))
	}
	seen := make([]bool, len(members))
	err := in.object(func(name text) error {
		for i, m := range members {
			if string(in.bytes(name)) != m.name {
				continue
			}
			if seen[i] {
				return in.duplicateName(name)
			}
			seen[i] = true
			return m.read(in, jsonPath{name: "/" + m.name})
		}
		return in.unknownMember(0, name)
	})
	for i, m := range members {
		if m.required && !seen[i] {
			in.add(jsonPath{name: "/" + m.name}, validationFailed, "is required")
		}
	}
	return in.finish(err)
}

// finish checks that nothing follows the document. It returns the problem of a syntax error, else of all faults, else nil.
func (in *input) finish(err error) error {
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return invalidJSON.problem(err.Error())
	}
	return in.faults.problem()
}
