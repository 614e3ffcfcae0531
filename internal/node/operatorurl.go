package node

import (
	"os"
	"path/filepath"
	"strings"
)

// operatorURLFile is the file in the data directory with the URL at which the node serves /admin. Hints of commands read it.
const operatorURLFile = "operator-url"

// noteOperatorURL writes the file. Without it hints name the default URL, so an error is logged only.
func (n *node) noteOperatorURL() {
	address := n.admin.url()
	if address == "" {
		address = n.url
	}
	if err := os.WriteFile(filepath.Join(n.config.DataDir, operatorURLFile), []byte(address+"\n"), 0o600); err != nil {
		n.log.Warn("write the file that names this node's URL", "error", err)
	}
}

// OperatorURL returns the URL at which the node that runs with a data directory serves /admin. If the node has not written it, it returns
// DefaultURL.
func OperatorURL(dataDir string) string {
	text, err := os.ReadFile(filepath.Join(dataDir, operatorURLFile))
	if address := strings.TrimSpace(string(text)); err == nil && address != "" {
		return address
	}
	return DefaultURL
}
