// Package phonenumber parses phone numbers in the formats that people and programs use, and returns them as recipients. It accepts every
// possible number and rejects everything else; it never drops or adds a digit. Numbering plans come from Google's libphonenumber.
//
// Concurrency: a Parser is safe for concurrent use.
package phonenumber
