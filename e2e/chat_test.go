package e2e

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

var chatLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// TestExampleChat_TwoBrowsers_ExchangeMessages connects two browsers, one per protocol, to one chat room.
func TestExampleChat_TwoBrowsers_ExchangeMessages(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "chat")
	if out, err := exec.Command("go", "build", "-o", program, "../signalr/examples/chat").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	chat := exec.Command(program, "-listen", "127.0.0.1:0")
	stdout, err := chat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = chat.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = chat.Process.Kill()
		_ = chat.Wait() // it was killed
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url := chatLink.FindString(line)
	if url == "" {
		t.Fatalf("it says %q, %v", line, err)
	}

	enter := func(name, protocol string) page {
		tab := page{t, browser(t)}
		tab.do(chromedp.Navigate(url),
			chromedp.SendKeys(chromedp.CSS("#name"), name),
			chromedp.SetValue(chromedp.CSS("#protocol"), protocol),
			chromedp.Click(chromedp.CSS("#join button")))
		tab.visible("#chat")
		return tab
	}
	say := func(tab page, text string) {
		tab.do(chromedp.SendKeys(chromedp.CSS("#text"), text), chromedp.Click(chromedp.CSS("#say button")))
	}
	amal, badr := enter("amal", "json"), enter("badr", "messagepack")
	for _, tab := range []page{amal, badr} { // both see the list of members, and the clock runs
		tab.visible("#present li:nth-child(2)")
		if names := tab.text("#present"); names != "amalbadr" {
			t.Errorf("the page says that %q are there", names)
		}
		eventually(t, func() bool { return strings.Contains(tab.text("#state"), "server time") }, func() string { return tab.text("#state") })
	}
	say(amal, "مرحبا <b>")
	badr.visible("#said li:nth-child(1)")
	say(badr, "hello")
	for _, tab := range []page{amal, badr} {
		tab.visible("#said li:nth-child(2)")
		if said := tab.text("#said"); said != "amalمرحبا <b>badrhello" {
			t.Errorf("the page shows %q", said)
		}
	}
}
