// Package demo serves the phone demo: a phone in the browser, built on Microsoft's SignalR client. The pages are static. They
// load their data from the node with the token that the user enters.
package demo

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/signalr/browser"
)

//go:embed demo
var files embed.FS

// policy allows only the page's own files. Connections may go to any origin, because a negotiation may redirect to another node.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src http: https: ws: wss:; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Demo returns a handler that serves the demo under prefix, which must start and end with a slash. The pages need no external
// resources. Paths that are not files are answered 404: folders are not listed, and paths are not cleaned.
func Demo(prefix string) http.Handler {
	root, err := fs.Sub(files, "demo")
	if err != nil {
		panic(err) // never fails: the folder is embedded
	}
	client := http.StripPrefix(prefix+"signalr", browser.Handler())
	own := http.StripPrefix(strings.TrimSuffix(prefix, "/"), http.FileServerFS(root))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		name := strings.TrimPrefix(r.URL.Path, prefix)
		switch {
		case strings.HasPrefix(name, "signalr/"):
			client.ServeHTTP(w, r)
		case name == "" || isFile(root, name):
			own.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// isFile reports whether root contains a regular file with this name.
func isFile(root fs.FS, name string) bool {
	info, err := fs.Stat(root, name)
	return err == nil && info.Mode().IsRegular()
}
