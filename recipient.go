package esh3ar

import (
	"fmt"
	"strconv"
)

// Recipient is a mobile user, identified by a phone number in E.164: the digits without the "+", as a number. An integer takes eight bytes
// in keys, maps and sessions, and no digit is lost because no country code begins with 0. Zero means "none". Package auth parses the
// numbers that people write; this file knows only the canonical form.
type Recipient uint64

// maxRecipientDigits bounds the digits of a number. E.164 allows 15, but the numbering plans know numbers of up to 17 digits after a
// country code of two. 64 bits hold 19 digits.
const maxRecipientDigits = 19

// ParseRecipient parses the canonical form: "+" and 3 to 19 digits, the first of which is not 0.
func ParseRecipient(s string) (Recipient, error) {
	if len(s) < 4 || len(s) > 1+maxRecipientDigits || s[0] != '+' || s[1] == '0' {
		return 0, fmt.Errorf("%q is not a phone number in E.164", s)
	}
	var r Recipient
	for i := 1; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 { // not a digit: other bytes give 10 to 255
			return 0, fmt.Errorf("%q is not a phone number in E.164", s)
		}
		r = r*10 + Recipient(d)
	}
	return r, nil
}

// String returns the canonical form, "+" and digits.
func (r Recipient) String() string { return string(r.append(nil)) }

// AppendText appends the canonical form.
func (r Recipient) AppendText(dst []byte) ([]byte, error) { return r.append(dst), nil }

// MarshalText returns the canonical form.
func (r Recipient) MarshalText() ([]byte, error) { return r.append(nil), nil }

// UnmarshalText parses the canonical form.
func (r *Recipient) UnmarshalText(text []byte) error {
	var err error
	*r, err = ParseRecipient(string(text))
	return err
}

func (r Recipient) append(dst []byte) []byte {
	return strconv.AppendUint(append(dst, '+'), uint64(r), 10)
}
