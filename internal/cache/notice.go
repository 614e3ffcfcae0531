package cache

import (
	"encoding/json"
)

// notice tells nodes what is no longer good. An empty one says only that its sender can be heard.
type notice struct {
	From  string   `json:"from"`            // the node's Shared: it has heard already
	Cache string   `json:"cache,omitempty"` //
	Keys  []string `json:"keys,omitempty"`
	Tags  []string `json:"tags,omitempty"`
	Globs []string `json:"globs,omitempty"`
}

// maxNames bounds a notice: whoever makes more names invalid at once makes all of the cache invalid.
const maxNames = 1024

var everything = []string{"*"}

// size is how many names are in it.
func (n *notice) size() int { return len(n.Keys) + len(n.Tags) + len(n.Globs) }

// join adds what other says.
func (n *notice) join(other notice) {
	n.Keys = append(n.Keys, other.Keys...)
	n.Tags = append(n.Tags, other.Tags...)
	n.Globs = append(n.Globs, other.Globs...)
	n.bound()
}

func (n *notice) bound() {
	if n.size() > maxNames {
		n.Keys, n.Tags, n.Globs = nil, nil, everything
	}
}

func (n *notice) text() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic("cache: a notice is plain text: " + err.Error())
	}
	return string(text)
}

// parseNotice reads a text. What it cannot read comes from another version, and may concern everything.
func parseNotice(text string) (n notice, ok bool) {
	err := json.Unmarshal([]byte(text), &n)
	return n, err == nil
}
