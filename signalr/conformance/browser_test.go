package conformance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowser runs the same cases in pages of another origin: CORS, the browser's own WebSocket and EventSource, and
// tokens in the query.
func TestBrowser(t *testing.T) {
	t.Parallel()
	needsClients(t)
	w := newFixture(t)
	browser := chromium(t)
	for _, generation := range []string{"1.1", "10"} {
		t.Run("chromium-signalr-"+generation, func(t *testing.T) {
			pages := pages(t, generation)
			query := url.Values{"base": {w.url}, "version": {generation}, "combinations": {strings.Join(combinations, ",")}}
			report(t, outcomes(t, strings.NewReader(visit(t, browser, pages+"/page.html?"+query.Encode()))))
		})
	}
}

// pages serves the folder of the clients with one generation's scripts in place, and returns its origin.
func pages(t *testing.T, generation string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("clients")))
	for script, file := range map[string]string{
		"/node_modules/signalr.js": "signalr-" + generation + "/dist/browser/signalr.js",
		"/node_modules/msgpack.js": "msgpack-" + generation + "/dist/browser/signalr-protocol-msgpack.js",
	} {
		mux.HandleFunc(script, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join("clients", "node_modules", file))
		})
	}
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

// chromium is a headless browser with an empty profile.
func chromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // Chromium refuses its sandbox to root; the pages are our own
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-gpu", true),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// visit opens a page and returns what it says once it is done.
func visit(t *testing.T, browser context.Context, address string) string {
	t.Helper()
	if err := chromedp.Do(browser, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("#done"))); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(browser, chromedp.TextContent(chromedp.CSS("#done")))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
