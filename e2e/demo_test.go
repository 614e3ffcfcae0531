package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	browserfiles "github.com/esh3artech/esh3ar/signalr/browser"
)

// browser is headless Chromium with an empty profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(patience),
		chromedp.NoSandbox, // Chromium refuses its sandbox to root; the page is our own
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-gpu", true),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

var demoLink = regexp.MustCompile(`http://\S+/demo/#token=\S+`)

// page is a tab with what a test does in it.
type page struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps its tab in it
}

func (p page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p page) visible(css string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(css)))
}

// choose picks an option as a user would: the page is told.
func (p page) choose(css, option string) {
	p.t.Helper()
	script := fmt.Sprintf(`{const s = document.querySelector(%q); s.value = %q; s.dispatchEvent(new Event("change"))}`, css, option)
	p.do(chromedp.Evaluate[chromedp.Void](script))
}

func (p page) text(css string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.TextContent(chromedp.CSS(css)))
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// TestDemo_PrintedLink_ReceivesMessages opens the link that serve prints.
func TestDemo_PrintedLink_ReceivesMessages(t *testing.T) {
	t.Parallel()
	p := start(t)
	var link string
	eventually(t, func() bool { link = demoLink.FindString(p.node.Stdout.String()); return link != "" },
		func() string { return "serve printed no link: " + p.node.Stdout.String() })
	const demoPhone = "+967771234567"
	before := p.send(demoPhone, "while away", "normal")
	tab := page{t, browser(t)}
	tab.do(chromedp.Navigate(link))
	tab.visible(`#state[data-state="online"]`)
	tab.visible(`.message[data-id="` + before.ID + `"]`)
	if number, first := tab.text("#number"), tab.text(".message .content"); number != demoPhone || first != "while away" {
		t.Errorf("the page shows %q and %q", number, first)
	}
	live := p.send(demoPhone, "مرحبا <b>", "urgent")
	tab.visible(`.message[data-id="` + live.ID + `"] .receipt[data-receipt="read"]`)
	if content := tab.text(`.message[data-id="` + live.ID + `"] .content`); content != "مرحبا <b>" {
		t.Errorf("the page shows %q", content)
	}
	p.awaitStatus(live.ID, "read")
	p.awaitStatus(before.ID, "read")
	tab.do(chromedp.Click(chromedp.CSS("#power")))
	tab.visible(`#state[data-state="offline"]`)
	waiting := p.send(demoPhone, "offline", "normal")
	p.awaitStatus(waiting.ID, "pending")
	tab.do(chromedp.Click(chromedp.CSS("#power")))
	tab.visible(`.message[data-id="` + waiting.ID + `"] .receipt[data-receipt="read"]`)
	for _, way := range [][2]string{{"WebSockets", "messagepack"}, {"ServerSentEvents", "json"}, {"LongPolling", "messagepack"}} {
		tab.choose("#protocol", way[1])
		tab.choose("#transport", way[0])
		eventually(t, func() bool { return tab.text("#how") == way[0]+" · "+way[1] }, func() string { return tab.text("#how") + tab.text("#notice") })
		tab.visible(`#state[data-state="online"]`)
		m := p.send(demoPhone, "by "+way[0]+" in "+way[1], "normal")
		tab.visible(`.message[data-id="` + m.ID + `"] .receipt[data-receipt="read"]`)
		p.awaitStatus(m.ID, "read")
	}
	if name := os.Getenv("ESH3AR_SCREENSHOT"); name != "" {
		shot, err := chromedp.Run(tab.ctx, chromedp.CaptureScreenshot())
		if err = errors.Join(err, os.WriteFile(name, shot, 0o600)); err != nil {
			t.Error(err)
		}
	}
}

// TestDemo_BehindGateway_Works: the page comes from the gateway, and the negotiation sends it to a node, which is of another origin.
func TestDemo_BehindGateway_Works(t *testing.T) {
	t.Parallel()
	p := start(t)
	gateway := startGateway(t, p.secrets, "--nodes", p.node.URL)
	gateway.awaitNodes(1)
	tab := page{t, browser(t)}
	tab.do(chromedp.Navigate(gateway.node.URL + "/demo/#token=" + gateway.token(alice, "browser")))
	tab.visible(`#state[data-state="online"]`)
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		tab.choose("#transport", transport)
		eventually(t, func() bool { return strings.HasPrefix(tab.text("#how"), transport) }, func() string { return tab.text("#how") + tab.text("#notice") })
		m := gateway.send(alice, "by "+transport, "normal")
		tab.visible(`.message[data-id="` + m.ID + `"] .receipt[data-receipt="read"]`)
	}
}

func TestDemo_BadToken_ShowsReason(t *testing.T) {
	t.Parallel()
	p := start(t)
	tab := page{t, browser(t)}
	for fragment, want := range map[string]string{
		"": "no device token", "#token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIrOTY3NzcxMjM0NTY3In0.x": "does not know this token",
	} {
		tab.do(chromedp.Navigate("about:blank"), chromedp.Navigate(p.node.URL+"/demo/"+fragment))
		tab.visible("#notice")
		if text := tab.text("#notice"); !strings.Contains(text, want) {
			t.Errorf("fragment %q: the page says %q, want %q", fragment, text, want)
		}
	}
}

// TestDemo_EmbeddedClient_EqualsNpmPackage compares the embedded copy of the client with the npm package.
func TestDemo_EmbeddedClient_EqualsNpmPackage(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"signalr": browserfiles.Client, "signalr-protocol-msgpack": browserfiles.MessagePack} {
		embedded, err := fs.ReadFile(browserfiles.Files(), file)
		if err != nil {
			t.Fatal(err)
		}
		shipped, err := os.ReadFile("node_modules/@microsoft/" + name + "/dist/browser/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(embedded, shipped) {
			t.Errorf("signalr/browser/%s differs from the package in package-lock.json; copy it anew", file)
		}
	}
}
