package cache

import (
	"encoding/json"
)

// invalidation names the entries to invalidate. An empty one is a heartbeat.
type invalidation struct {
	From     string   `json:"from"`            // id of the sender's Shared, which has applied it already
	Cache    string   `json:"cache,omitempty"` // // name of the cache; empty in a heartbeat
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Patterns []string `json:"globs,omitempty"`
}

// maxNames bounds an invalidation. One with more names invalidates the whole cache.
const maxNames = 1024

var allKeys = []string{"*"}

// size returns the number of names.
func (n *invalidation) size() int { return len(n.Keys) + len(n.Tags) + len(n.Patterns) }

// merge adds the names of other.
func (n *invalidation) merge(other invalidation) {
	n.Keys = append(n.Keys, other.Keys...)
	n.Tags = append(n.Tags, other.Tags...)
	n.Patterns = append(n.Patterns, other.Patterns...)
	n.bound()
}

func (n *invalidation) bound() {
	if n.size() > maxNames {
		n.Keys = nil
		n.Tags = nil
		n.Patterns = allKeys
	}
}

func (n *invalidation) text() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic("cache: a notice is plain text: " + err.Error())
	}
	return string(text)
}

// parseInvalidation parses a text. ok is false for texts of another version, which may invalidate anything.
func parseInvalidation(text string) (n invalidation, ok bool) {
	err := json.Unmarshal([]byte(text), &n)
	return n, err == nil
}
