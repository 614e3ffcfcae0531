package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// uniqueMembers reports whether every object in the header and in the claims of a well-formed token has each member once.
// Decoders differ in which of two counts. Names that differ in case only are one member, as for encoding/json.
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

// object is an open object or array of a text; names is nil for an array.
type object struct {
	names map[string]bool
	value bool // the next token is a member's value
}

// uniqueNames reports whether a text is JSON whose objects have each name once.
func uniqueNames(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	var open []*object
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if len(open) > 0 && !open[len(open)-1].takes(token) {
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

// takes notes the next token within the object, and reports whether it is not a name for the second time.
func (o *object) takes(token json.Token) bool {
	if o.names == nil || token == json.Delim('}') {
		return true
	}
	if o.value {
		o.value = false
		return true
	}
	name, _ := token.(string) // a name: the decoder allows nothing else here
	name = strings.ToLower(name)
	if o.names[name] {
		return false
	}
	o.names[name], o.value = true, true
	return true
}
