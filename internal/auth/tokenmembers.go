package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// uniqueMembers reports whether every object in the header and the claims of a well-formed token has unique member names.
// JSON decoders differ in which of two equal members they use. Names that differ only in case are equal, as in
// encoding/json.
func uniqueMembers(token string) bool {
	header, rest, _ := strings.Cut(token, ".")
	claims, _, _ := strings.Cut(rest, ".")
	for _, part := range []string{header, claims} {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || !uniqueNames(string(text)) {
			return false
		}
	}
	return true
}

// object is an open object or array; names is nil for an array.
type object struct {
	names map[string]bool // whether the next token is the value of a member
	value bool            // the next token is a member's value
}

// uniqueNames reports whether text is JSON whose objects have unique names.
func uniqueNames(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	var open []*object
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if len(open) > 0 && !open[len(open)-1].accept(token) {
			return false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &object{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, &object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return !decoder.More()
		}
	}
}

// accept processes the next token of the object, and reports false if it is a repeated name.
func (o *object) accept(token json.Token) bool {
	if o.names == nil || token == json.Delim('}') {
		return true
	}
	if o.value {
		o.value = false
		return true
	}
	name, _ := token.(string) // the decoder guarantees a name here
	name = strings.ToLower(name)
	if o.names[name] {
		return false
	}
	o.names[name], o.value = true, true
	return true
}
