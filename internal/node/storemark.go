package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// Settings of one store, which a copy leaves out.
const (
	MarkSetting    = transfer.Own + "move"
	HistorySetting = transfer.Own + "history" // number of times the store was moved, in decimal
)

// The states of a store that is or was part of a move.
//
//	target: copying → complete → (no mark)
//	source: (no mark) → moved
//
// The source is marked as moved after the target is complete and before the target loses its mark: at every moment at most one of
// both can be started.
const (
	MarkCopying  = "copying"
	MarkComplete = "complete"
	MarkMoved    = "moved"
)

// StoreMark is the state of a store that is or was part of a move.
type StoreMark struct {
	State   string      `json:"state"`
	Cluster string      `json:"cluster"` // of the source
	To      string      `json:"to"`      // name of the target
	At      esh3ar.Time `json:"at"`
}

// Encode returns the value of the setting.
func (m StoreMark) Encode() []byte {
	text, _ := json.Marshal(m) // strings and a time of now cannot fail
	return text
}

// settings is the part of a store that holds marks.
type settings interface {
	Setting(ctx context.Context, name string) ([]byte, error)
	InitSetting(ctx context.Context, name string, value []byte) ([]byte, error)
}

// MarkOf returns the mark of a store; its State is empty if there is none.
func MarkOf(ctx context.Context, store settings) (StoreMark, error) {
	var m StoreMark
	text, err := store.Setting(ctx, MarkSetting)
	if err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			err = nil
		}
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("the setting %s cannot be read: %w", MarkSetting, err)
	}
	return m, nil
}

// CheckMark refuses a store that was moved away, or is not complete yet. Flag names the store.
func CheckMark(ctx context.Context, store settings, flag, name string) error {
	m, err := MarkOf(ctx, store)
	if err != nil {
		return err
	}
	switch m.State {
	case "":
		return nil
	case MarkMoved:
		return usage.Errorf("%s: the store in %s was moved to %s on %s: give that one; what is in this one is no longer true", flag, name, m.To, m.At)
	default:
		return usage.Errorf("%s: %s holds the copy of a move that has not ended: run the same `%s move` again", flag, name, usage.Program())
	}
}

// HistoryOf returns the number of times a store was moved.
func HistoryOf(ctx context.Context, store settings) (uint32, error) {
	text, err := store.Setting(ctx, HistorySetting)
	if err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			err = nil
		}
		return 0, err
	}
	n, err := strconv.ParseUint(string(text), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("the setting %s reads %q: %w", HistorySetting, text, err)
	}
	return uint32(n), nil
}

// ClusterOf returns the name of a store's cluster; empty: no node has used it.
func ClusterOf(ctx context.Context, store settings) (string, error) {
	name, err := store.Setting(ctx, auth.ClusterSetting)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		err = nil
	}
	return string(name), err
}
