package processes

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
)

// notTheirs lists settings of the scaler's own node that a child must not inherit: two nodes with one URL, gateways on one address,
// or children that scale.
var notTheirs = []string{"ESH3AR_ADVERTISE_URL=", "ESH3AR_ROLE=", "ESH3AR_AUTOSCALE=", "ESH3AR_CONFIG="}

func ownEnvironment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return slices.ContainsFunc(notTheirs, func(name string) bool { return strings.HasPrefix(v, name) })
	})
}

// maxLine bounds the buffer for a line without an end.
const maxLine = 64 << 10

// prefixed writes whole lines with a prefix.
type prefixed struct {
	prefix string
	out    io.Writer

	mu   sync.Mutex
	line []byte
}

// Write buffers the output of a process and writes whole lines. It never fails, because an error would end the process.
func (w *prefixed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = append(w.line, p...)
	for {
		i := bytes.IndexByte(w.line, '\n')
		if i < 0 {
			if len(w.line) < maxLine {
				return len(p), nil
			}
			i = len(w.line) - 1
		}
		_, _ = w.out.Write(slices.Concat([]byte(w.prefix), bytes.TrimSuffix(w.line[:i+1], []byte("\n")), []byte("\n")))
		w.line = append(w.line[:0], w.line[i+1:]...)
	}
}
