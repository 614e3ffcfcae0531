package node

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// TestLeftIn_SpillOfNode_IsReported: nothing where no spill is, and none is made; what waits there, once its node has gone.
func TestLeftIn_SpillOfNode_IsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	look := LeftIn(slog.New(slog.DiscardHandler))
	for range 2 {
		if left, err := look(dir); left || err != nil {
			t.Fatalf("in a new data directory: %t, %v", left, err)
		}
	}
	node, err := spill.Open(SpillFolder(dir), spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := look(dir); !errors.Is(err, diskguard.ErrInUse) {
		t.Errorf("while its node runs: %v", err)
	}
	b := esh3ar.NewBusinessID()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: b, From: "shop", Recipient: 967771234567, Priority: esh3ar.Normal, Content: "hello"}
	if _, err := node.Append(t.Context(), []*esh3ar.Call{{Business: b, Messages: []*esh3ar.Message{m}}}); err != nil {
		t.Fatal(err)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it only looks
		if left, err := look(dir); !left || err != nil {
			t.Errorf("with a message: %t, %v", left, err)
		}
	}
}
