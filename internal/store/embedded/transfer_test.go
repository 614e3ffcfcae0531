package embedded

import (
	"slices"
	"testing"
)

// TestTransfer_EveryKindOfRow_IsCopiedOrNamedAsDerived: a new kind must be decided on. The checks of Verify know every kind.
func TestTransfer_EveryKindOfRow_IsCopiedOrNamedAsDerived(t *testing.T) {
	known := slices.Clone(transferDerived)
	for _, k := range transferKinds {
		known = append(known, k.kind)
	}
	var kinds []byte
	for _, k := range (&verification{events: newEventSums()}).checks() {
		kinds = append(kinds, k.kind)
	}
	slices.Sort(known)
	slices.Sort(kinds)
	if !slices.Equal(known, kinds) {
		t.Errorf("kinds of a copy %q, want %q", known, kinds)
	}
}
