// Package httpapi implements the REST API. It authenticates a request, decodes and validates its body in one pass, and
// translates the platform's errors into problem documents (RFC 9457). It stores nothing and makes no decisions about
// messages: packages ingest, store and auth do. The package's tests check every request and response against the OpenAPI
// document that the API serves.
//
// Concurrency: handlers run on net/http's goroutines. Each request uses one exchange from a pool; everything that
// requests share is safe for concurrent use.
package httpapi
