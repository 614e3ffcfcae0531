package esh3ar

import (
	"fmt"
	"strconv"
)

// Recipient is a mobile user, known by a phone number in E.164: the digits without the "+", as a number.
// An integer makes it eight bytes in keys, maps and sessions; no country code begins with 0, so no digit is
// lost. Zero means "none". Reading what people type is package auth's job; here only the canonical form.
type Recipient uint64

// maxRecipientDigits bounds the digits of a number. E.164 allows 15; the numbering plan data call numbers of up to 17
// digits behind a country code of two possible, and 19 digits are what 64 bits hold.
const maxRecipientDigits = 19

// ParseRecipient reads the canonical form, "+" and 3 to 19 digits of which the first is not 0.
func ParseRecipient(s string) (Recipient, error) {
	if len(s) < 4 || len(s) > 1+maxRecipientDigits || s[0] != '+' || s[1] == '0' {
		return 0, fmt.Errorf("%q is not a phone number in E.164", s)
	}
	var r Recipient
	for i := 1; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, fmt.Errorf("%q is not a phone number in E.164", s)
		}
		r = r*10 + Recipient(d)
	}
	return r, nil
}

// String is the canonical form, "+" and digits.
func (r Recipient) String() string { return string(r.append(nil)) }

// AppendText appends what String gives.
func (r Recipient) AppendText(dst []byte) ([]byte, error) { return r.append(dst), nil }

// MarshalText makes JSON carry the form of String.
func (r Recipient) MarshalText() ([]byte, error) { return r.append(nil), nil }

// UnmarshalText reads the canonical form.
func (r *Recipient) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRecipient(string(text))
	return err
}

func (r Recipient) append(dst []byte) []byte {
	return strconv.AppendUint(append(dst, '+'), uint64(r), 10)
}
