// Package browser holds Microsoft's JavaScript client, so that a page can load it from the server it connects to and
// needs neither npm nor a content network. It only serves files. Everything in it may be used from any goroutine.
//
// The files are those of the npm packages @microsoft/signalr and @microsoft/signalr-protocol-msgpack 10.0.11, unchanged
// (MIT license, © .NET Foundation and Contributors; the latter contains @msgpack/msgpack, ISC license, © 2019 The
// MessagePack Community).
//
//	mux.Handle("/signalr/", http.StripPrefix("/signalr", browser.Handler()))
//
//	<script src="/signalr/signalr.min.js"></script>
//	<script src="/signalr/signalr-protocol-msgpack.min.js"></script> <!-- for withHubProtocol(…), after the former -->
package browser

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

// Names of the files.
const (
	Client      = "signalr.min.js"
	MessagePack = "signalr-protocol-msgpack.min.js"
)

//go:embed signalr.min.js signalr-protocol-msgpack.min.js
var files embed.FS

// Files returns the files, at the root.
func Files() fs.FS { return files }

// Handler serves the files at the root. It answers 404 to every other path: folders are not listed.
func Handler() http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name != Client && name != MessagePack {
			http.NotFound(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	})
}
