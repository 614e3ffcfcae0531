// Package demo serves the pages of the platform: for now the phone demo, a phone in the browser on Microsoft's
// SignalR client. The pages are static; what they show they ask the node for, with the viewer's own token.
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

// policy lets nothing but the page's own files in. They may connect to everywhere: behind a gateway, or when a phone is moved, the
// negotiation names another node, which is of another origin.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src http: https: ws: wss:; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Demo serves the phone under prefix, which begins and ends with a slash. Nothing of it comes from elsewhere. A path that is not
// that of a file is answered 404: folders are not listed, and no path is cleaned.
func Demo(prefix string) http.Handler {
	root, err := fs.Sub(files, "demo")
	if err != nil {
		panic(err) // the folder is compiled in
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

// isFile reports whether root has a file, and not a folder, of that name.
func isFile(root fs.FS, name string) bool {
	info, err := fs.Stat(root, name)
	return err == nil && info.Mode().IsRegular()
}
