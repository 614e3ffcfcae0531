package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// signedWord is the stored form of an entry. Node is JSON in a string: the exact bytes that were signed.
type signedWord struct {
	Node       string             `json:"node"`
	At         int64              `json:"at"` // Unix milliseconds of the node's clock
	Signatures keyring.Signatures `json:"signatures"`
}

// Reasons why an entry is invalid.
var (
	errUnsigned = errors.New("no node of this cluster has signed it")
	errOldWord  = errors.New("its stamp is too old, or the clocks differ too much")
)

func isRefusal(err error) bool { return errors.Is(err, errUnsigned) || errors.Is(err, errOldWord) }

// about returns the context of a signature: this list, this id, that time.
func (r *Registry) about(id string, at int64) string {
	return fmt.Sprintf("registry %q %q %d", r.prefix, id, at)
}

func (r *Registry) sign(n membership.Node) (word string, err error) {
	if r.client.opts.Keys == nil {
		return "", errNoKeys
	}
	text, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	w := signedWord{Node: string(text), At: time.Now().UnixMilli()}
	w.Signatures = r.client.opts.Keys.Sign(r.about(string(n.ID), w.At), text)
	signed, err := json.Marshal(w)
	return string(signed), err
}

// verify decodes and verifies the entry of an id.
func (r *Registry) verify(id, word string) (membership.Node, error) {
	var n membership.Node
	var w signedWord
	if err := json.Unmarshal([]byte(word), &w); err != nil {
		return n, err
	}
	if !r.client.opts.Trusted.Verify(r.about(id, w.At), []byte(w.Node), w.Signatures) {
		return n, errUnsigned
	}
	if age := time.Since(time.UnixMilli(w.At)); age > keyring.Freshness || age < -keyring.Freshness {
		return n, errOldWord
	}
	if err := json.Unmarshal([]byte(w.Node), &n); err != nil {
		return membership.Node{}, err
	}
	n.ID = membership.NodeID(id)
	return n, nil
}
