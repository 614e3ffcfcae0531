package nodeproc

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"testing"
)

// TestOutput_StackInLog_IsCountedOnce however the lines of a process are cut on their way. It is not parallel: the count is the process's.
func TestOutput_StackInLog_IsCountedOnce(t *testing.T) {
	var text, quoted bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Error("a fault", "stack", string(debug.Stack()))
	slog.New(slog.NewJSONHandler(&quoted, nil)).Error("a fault", "stack", string(debug.Stack()))
	for name, log := range map[string][]byte{"text": text.Bytes(), "JSON": quoted.Bytes(), "crash": append([]byte("panic: x\n\n"), debug.Stack()...)} {
		for _, size := range []int{1, 7, len(log)} {
			before, o := Recovered(), &Output{}
			for rest := log; len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := o.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if got := Recovered() - before; got != 1 || o.String() != string(log) {
				t.Errorf("%s in parts of %d bytes: %d panics, want 1; %d bytes kept, want %d", name, size, got, len(o.String()), len(log))
			}
		}
	}
	before := Recovered()
	if _, err := (&Output{}).Write([]byte("level=INFO msg=\"goroutines 12\"")); err != nil || Recovered() != before {
		t.Errorf("%d panics in a line about none, %v", Recovered()-before, err)
	}
}
