package node

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// samplePhone is the phone number in the examples that serve prints: a valid form in Yemen's numbering plan.
const samplePhone = "+967771234567"

// nextSteps prints the commands and links for an operator whose node is ready. Each line works as printed, unless the secrets are on
type nextSteps struct {
	self    string // how this program was started
	url     string // of this node
	admin   string // URL of --admin-listen; empty if it is url
	dataDir string
	token   string // device token of the sample phone for the demo; empty if it is not printed
}

func (n nextSteps) print(w io.Writer) {
	fmt.Fprintf(w, `
Ready on %[1]s (REST API for people: %[1]s/docs)

  Be the phone in a browser:
    %[1]s/demo/%[2]s
  or in a second terminal%[5]s:
    %[3]s listen --phone %[4]s%[6]s
  and send it a message:
    %[3]s send --to %[4]s --text 'Hello from Esh3arTech'%[7]s

`, n.url, n.fragment(), n.self, samplePhone, n.whose(), n.flags("--admin-token TOKEN")+n.adminFlag(), n.flags("--api-key KEY"))
}

// fragment returns the end of the link to the demo: the token, or a hint how to get one.
func (n nextSteps) fragment() string {
	if n.token == "" {
		return "  (needs a device token: POST /admin/v1/device-tokens makes one, and --demo prints a link that has one)"
	}
	return "#token=" + n.token
}

// secrets reports whether the data directory contains the secrets of the first start.
func (n nextSteps) secrets() bool {
	_, err := os.Stat(filepath.Join(n.dataDir, auth.BootstrapFile))
	return err == nil
}

func (n nextSteps) whose() string {
	if n.secrets() {
		return ""
	}
	return ", with the secrets of the first node"
}

// adminFlag returns the flag with which client commands find /admin; empty if --url is enough.
func (n nextSteps) adminFlag() string {
	if n.admin == "" {
		return ""
	}
	return " --admin-url " + n.admin
}

// flags returns the flags with which client commands find this node and its secrets; empty if the defaults do.
func (n nextSteps) flags(secret string) string {
	var flags string
	if n.url != DefaultURL {
		flags += " --url " + n.url
	}
	if !n.secrets() {
		flags += " " + secret
	} else if n.dataDir != "./data" && n.dataDir != "data" {
		flags += " --data-dir " + quote(n.dataDir)
	}
	return flags
}

// quote quotes s as one word of a shell if necessary.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// announce prints the secrets of a first start and the next steps.
func (n *node) announce(s Streams) {
	visible := n.config.showsSecrets(s.Out)
	if n.account.First {
		n.printSecrets(s.Out, visible)
	} else if n.config.APIKey != "" {
		n.log.Warn("--api-key was ignored: it is used on the first start only; create keys with POST /admin/v1/businesses/{id}/keys")
	}
	var token string
	if n.config.Demo || n.account.First && visible {
		var err error
		if token, err = n.sampleToken(); err != nil {
			n.log.Error("create the token of the demo", "error", err)
		}
	}
	n.noteOperatorURL()
	if err := n.trouble(); err != nil {
		printNotReady(s, n.url, err)
		return
	}
	nextSteps{self: usage.Program(), url: n.url, admin: n.admin.url(), dataDir: n.config.DataDir, token: token}.print(s.Out)
}

// printSecrets prints the secrets of a first start, or only the name of their file if they must not be visible.
func (n *node) printSecrets(w io.Writer, visible bool) {
	file := filepath.Join(n.config.DataDir, auth.BootstrapFile)
	if !visible {
		fmt.Fprintf(w, "First start: the admin token, the business and its API key are in %s\n", file)
		return
	}
	secrets := n.account.Secrets
	fmt.Fprintf(w, "First start: these secrets are shown once and kept in %s\n  admin token  %s\n  business     %s\n  API key      %s\n",
		file, secrets.AdminToken, secrets.BusinessID, secrets.APIKey)
}

// showsSecrets reports whether the secrets of a first start may be printed to out: to a terminal, with --demo, or where only this
// machine reaches the node, unless systemd runs the node and may keep its output in the journal.
func (c *Config) showsSecrets(out io.Writer) bool {
	if c.Demo || terminal(out) {
		return true
	}
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && loopback(host) && os.Getenv("JOURNAL_STREAM") == ""
}

// terminal reports whether w is a terminal or another character device.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (n *node) sampleToken() (string, error) {
	numbers, err := phonenumber.NewParser(n.config.DefaultRegion)
	if err != nil {
		return "", err
	}
	phone, _ := numbers.Parse(samplePhone)
	token, _, err := n.account.Tokens.Mint(phone, "demo", 0)
	return token, err
}
