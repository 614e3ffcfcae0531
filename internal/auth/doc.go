// Package auth authenticates callers and phones: businesses by their API keys, the administrator by a token, phones by device tokens.
// It caches what it needs of the store; the store holds all credentials. Package phonenumber parses phone numbers.
//
// Concurrency: everything is safe for concurrent use, except where noted.
package auth
