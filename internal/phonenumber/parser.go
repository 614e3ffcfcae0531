package phonenumber

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/esh3artech/esh3ar"
)

// Parser parses phone numbers in the usual formats. It validates the whole text and never drops or adds a digit. It is safe
// for concurrent use.
type Parser struct {
	region string     // region code of numbers without a country code
	plans  [1000]plan // by country code
	codes  [1000]bool // whether a country code is assigned
}

// plan is the numbering plan of a country code, for numbers in international format.
type plan struct {
	lengths uint32 // bit n: national numbers of n digits exist and cannot be short numbers; zero: ask the library
	trunk   string // trunk prefix that the library removes from a national number; empty for none
}

// Reasons why digits are not a number that can be called from any country. Each completes a sentence that starts with the
// name of the field.
var (
	errUnknownCode = errors.New("has no known country code after the +; write it like +967771234567")
	errTooShort    = errors.New("is not a possible phone number: it has too few digits; write it like +967771234567")
	errTooLong     = errors.New("is not a possible phone number: it has too many digits; write it like +967771234567")
	errLength      = errors.New("is not a possible phone number: its country has none of this length; write it like +967771234567")
	errLocalOnly   = errors.New("is a local number without its area code; write it like +967771234567")
	errShort       = errors.New("is a short number, such as an emergency number, that no other country can dial; write it like +967771234567")
	errImpossible  = errors.New("is not a possible phone number; write it like +967771234567")
)

// NewParser returns a parser that reads numbers without a country code as numbers of region, such as "YE".
func NewParser(region string) (*Parser, error) {
	if !phonenumbers.GetSupportedRegions()[region] {
		return nil, fmt.Errorf("%q is not a region code such as YE", region)
	}
	p := &Parser{region: region}
	data, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, fmt.Errorf("load numbering plans: %w", err)
	}
	for code := range phonenumbers.GetSupportedCallingCodes() {
		p.codes[code] = true
	}
	short, err := shortLengths()
	if err != nil {
		return nil, fmt.Errorf("load short numbers: %w", err)
	}
	for _, country := range data.GetMetadata() {
		code := int(country.GetCountryCode())
		if phonenumbers.GetRegionCodeForCountryCode(code) == country.GetId() {
			p.plans[code] = planOf(country)
			p.plans[code].lengths &^= short[code]
		}
	}
	return p, nil
}

// planOf returns the plan of a country with simple rules: a fixed trunk prefix, and lengths. Other countries get the zero
// plan.
func planOf(country *phonenumbers.PhoneMetadata) plan {
	trunk := country.GetNationalPrefixForParsing()
	if country.GetNationalPrefixTransformRule() != "" || strings.Trim(trunk, "0123456789") != "" {
		return plan{}
	}
	return plan{trunk: trunk, lengths: lengthsOf(country.GetGeneralDesc())}
}

// lengthsOf returns the possible lengths as a bit set.
func lengthsOf(numbers *phonenumbers.PhoneNumberDesc) (set uint32) {
	for _, n := range numbers.GetPossibleLength() {
		if n > 0 && n < 32 {
			set |= 1 << n
		}
	}
	return set
}

// shortLengths returns the lengths of short numbers by country code.
func shortLengths() (byCode [1000]uint32, err error) {
	data, err := phonenumbers.ShortNumberMetadataCollection()
	if err != nil {
		return byCode, err
	}
	for _, country := range data.GetMetadata() {
		if code := phonenumbers.GetCountryCodeForRegion(country.GetId()); code > 0 && code < len(byCode) {
			byCode[code] |= lengthsOf(country.GetGeneralDesc())
		}
	}
	return byCode, nil
}

// Parse parses a number in E.164, with the international prefix of the region, or in the local format of the region. It
// accepts every possible number, whether it is in use or not. The error completes a sentence that starts with the name of
// the field.
//
// Most programs send plain E.164, which is parsed without the regular expressions of the library (12 µs) and without an
// allocation. A test compares this fast path with the library for every country.
func (p *Parser) Parse(text string) (esh3ar.Recipient, error) {
	if p.canonical(text) {
		return esh3ar.ParseRecipient(text)
	}
	return p.read(text, false)
}

// ParseQuery is Parse for the value of a query parameter. In a query, "+" is decoded as a space
// (application/x-www-form-urlencoded), so a space before the first digit is read as a plus that its sender did not escape.
func (p *Parser) ParseQuery(value string) (esh3ar.Recipient, error) {
	return p.read(value, true)
}

// read validates the format of the text, and parses its digits with the library.
func (p *Parser) read(text string, query bool) (esh3ar.Recipient, error) {
	var room [1 + maxDigits]byte
	written, err := scan(room[:0], text, query)
	if err != nil {
		return 0, err
	}
	digits := string(written)
	if p.canonical(digits) {
		return esh3ar.ParseRecipient(digits)
	}
	if digits[0] == '+' && !p.knownCode(digits[1:]) {
		return 0, errUnknownCode // the library would read the digits as a local number
	}
	number, err := phonenumbers.Parse(digits, p.region)
	if err != nil {
		return 0, reasonOf(err)
	}
	if err := possible(number); err != nil {
		return 0, err
	}
	return esh3ar.ParseRecipient(phonenumbers.Format(number, phonenumbers.E164))
}

// knownCode reports whether the digits start with an assigned country code.
func (p *Parser) knownCode(digits string) bool {
	if digits == "" || digits[0] == '0' {
		return false
	}
	for n := 1; n <= min(3, len(digits)); n++ {
		code, _ := strconv.Atoi(digits[:n])
		if p.codes[code] {
			return true
		}
	}
	return false
}

// reasonOf translates an error of the library.
func reasonOf(err error) error {
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode):
		return errUnknownCode
	case errors.Is(err, phonenumbers.ErrTooShortAfterIDD), errors.Is(err, phonenumbers.ErrTooShortNSN), errors.Is(err, phonenumbers.ErrNotANumber):
		return errTooShort
	case errors.Is(err, phonenumbers.ErrNumTooLong):
		return errTooLong
	}
	return errImpossible
}

// possible returns the reason why a number cannot be called from any country, or nil.
func possible(number *phonenumbers.PhoneNumber) error {
	switch phonenumbers.IsPossibleNumberWithReason(number) {
	case phonenumbers.IS_POSSIBLE:
	case phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return errLocalOnly
	case phonenumbers.TOO_SHORT:
		return errTooShort
	case phonenumbers.TOO_LONG:
		return errTooLong
	case phonenumbers.INVALID_LENGTH:
		return errLength
	case phonenumbers.INVALID_COUNTRY_CODE:
		return errUnknownCode
	default:
		return errImpossible
	}
	if !phonenumbers.IsValidNumber(number) && short(number) {
		return errShort
	}
	return nil
}

// short reports whether the number is a short or emergency number of a region with its country code. In some countries these
// are as long as subscriber numbers, such as 116117 in Germany.
func short(number *phonenumbers.PhoneNumber) bool {
	if phonenumbers.IsValidShortNumber(number) {
		return true
	}
	national := phonenumbers.GetNationalSignificantNumber(number)
	for _, region := range phonenumbers.GetRegionCodesForCountryCode(int(number.GetCountryCode())) {
		if phonenumbers.IsEmergencyNumber(national, region) {
			return true
		}
	}
	return false
}

// canonical reports whether text is certainly a possible number in E.164. False means unknown.
func (p *Parser) canonical(text string) bool {
	if len(text) < 8 || text[0] != '+' {
		return false
	}
	code := 0
	for i := 1; i < len(text); i++ {
		d := int(text[i]) - '0'
		if d < 0 || d > 9 {
			return false
		}
		if i > 3 {
			continue
		}
		code = code*10 + d
		if p.plans[code].lengths != 0 {
			return p.plans[code].admits(text[i+1:])
		}
	}
	return false
}

// admits reports whether the digits are certainly a national number without a trunk prefix.
func (p plan) admits(national string) bool {
	return national != "" && strings.Trim(national, "0123456789") == "" && national[0] != '0' &&
		(p.trunk == "" || !strings.HasPrefix(national, p.trunk)) &&
		len(national) < 32 && p.lengths&(1<<len(national)) != 0
}
