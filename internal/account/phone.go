package account

import (
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/esh3artech/esh3ar"
)

// Phones reads phone numbers as people and programs write them.
type Phones struct {
	region string
	plans  [1000]plan // by country code
}

// plan is what the numbering plan of a country code says of numbers in international form.
type plan struct {
	lengths uint32 // bit n: a national number of n digits is possible; zero: ask the library
	trunk   string // digits that the library takes off the front of a national number
}

// NewPhones makes a reader that takes numbers without a country code as those of region, such as "YE".
func NewPhones(region string) (*Phones, error) {
	if !phonenumbers.GetSupportedRegions()[region] {
		return nil, fmt.Errorf("%q is not a region code such as YE", region)
	}
	p := &Phones{region: region}
	data, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, fmt.Errorf("load numbering plans: %w", err)
	}
	for _, country := range data.GetMetadata() {
		code := int(country.GetCountryCode())
		if phonenumbers.GetRegionCodeForCountryCode(code) == country.GetId() {
			p.plans[code] = planOf(country)
		}
	}
	return p, nil
}

// planOf describes a country whose rules are simple: a fixed trunk prefix, and lengths. The others keep the zero plan.
func planOf(country *phonenumbers.PhoneMetadata) plan {
	trunk := country.GetNationalPrefixForParsing()
	if country.GetNationalPrefixTransformRule() != "" || strings.Trim(trunk, "0123456789") != "" {
		return plan{}
	}
	result := plan{trunk: trunk}
	for _, n := range country.GetGeneralDesc().GetPossibleLength() {
		if n > 0 && n < 32 {
			result.lengths |= 1 << n
		}
	}
	return result
}

// Parse reads a number in E.164 or in the local form of the region. Any possible number is accepted, whether
// somebody has it or not. What is in E.164 already, as most of what programs send, costs none of the library's
// regular expressions (12 µs); a test holds that way against the library for every country.
func (p *Phones) Parse(text string) (esh3ar.Recipient, bool) {
	if p.canonical(text) {
		r, err := esh3ar.ParseRecipient(text)
		return r, err == nil
	}
	number, err := phonenumbers.Parse(text, p.region)
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return 0, false
	}
	r, err := esh3ar.ParseRecipient(phonenumbers.Format(number, phonenumbers.E164))
	return r, err == nil
}

// canonical tells whether text is surely a possible number in E.164; when it is not sure it says no.
func (p *Phones) canonical(text string) bool {
	if len(text) < 8 || text[0] != '+' {
		return false
	}
	code := 0
	for i := 1; i < len(text); i++ {
		d := int(text[i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		if i > 3 {
			continue
		}
		if code = code*10 + d; p.plans[code].lengths != 0 {
			return p.plans[code].admits(text[i+1:])
		}
	}
	return false
}

// admits tells whether the digits are a national number that stands as it is.
func (p plan) admits(national string) bool {
	return national != "" && strings.Trim(national, "0123456789") == "" && national[0] != '0' &&
		(p.trunk == "" || !strings.HasPrefix(national, p.trunk)) &&
		len(national) < 32 && p.lengths&(1<<len(national)) != 0
}
