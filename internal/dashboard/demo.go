// Package dashboard serves the pages of the platform: for now the phone demo, a phone in the browser on Microsoft's
// SignalR client. The pages are static; what they show they ask the node for, with the viewer's own token.
package dashboard

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

// Demo serves the phone under prefix, which begins and ends with a slash. Nothing of it comes from elsewhere.
func Demo(prefix string) http.Handler {
	root, err := fs.Sub(files, "demo")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(root))
	mux.Handle("/signalr/", http.StripPrefix("/signalr", browser.Handler()))
	static := http.StripPrefix(strings.TrimSuffix(prefix, "/"), mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		static.ServeHTTP(w, r)
	})
}
