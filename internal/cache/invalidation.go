package cache

import (
	"encoding/json"
)

// invalidation tells nodes what is no longer good. An empty one says only that its sender can be heard.
type invalidation struct {
	From     string   `json:"from"`            // the node's Shared: it has heard already
	Cache    string   `json:"cache,omitempty"` //
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Patterns []string `json:"globs,omitempty"`
}

// maxNames bounds a notice: whoever makes more names invalid at once makes all of the cache invalid.
const maxNames = 1024

var allKeys = []string{"*"}

// size is how many names are in it.
func (n *invalidation) size() int { return len(n.Keys) + len(n.Tags) + len(n.Patterns) }

// merge adds what other says.
func (n *invalidation) merge(other invalidation) {
	n.Keys = append(n.Keys, other.Keys...)
	n.Tags = append(n.Tags, other.Tags...)
	n.Patterns = append(n.Patterns, other.Patterns...)
	n.bound()
}

func (n *invalidation) bound() {
	if n.size() > maxNames {
		n.Keys, n.Tags, n.Patterns = nil, nil, allKeys
	}
}

func (n *invalidation) text() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic("cache: a notice is plain text: " + err.Error())
	}
	return string(text)
}

// parseInvalidation reads a text. What it cannot read comes from another version, and may concern everything.
func parseInvalidation(text string) (n invalidation, ok bool) {
	err := json.Unmarshal([]byte(text), &n)
	return n, err == nil
}
