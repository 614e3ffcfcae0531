// Package auth knows who calls and who is called: businesses and their API keys, the administrator's token, the
// phones' tokens, and how people write phone numbers. It keeps nothing itself; the store does.
//
// Concurrency: everything here may be used from any goroutine.
package auth
