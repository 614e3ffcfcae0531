// Package httpapi is the REST edge: it authenticates, decodes once, validates, and turns the platform's errors into
// problem documents (RFC 9457). It stores nothing and decides nothing about messages; intake, the store and the accounts
// do. The OpenAPI document it serves is held against its real requests and answers by a test.
//
// Concurrency: handlers run on net/http's goroutines and share only what is safe to share.
package httpapi
