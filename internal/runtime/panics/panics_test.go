package panics_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/runtime/panics"
)

func faulty(r *panics.Recorder) {
	defer r.Recover("part")
	panic("a fault")
}

func TestRecorder_Panic_LogsStackOnceAndCountsAll(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	r := panics.New(slog.New(slog.NewTextHandler(&log, nil)), "part", "other")
	for range 3 {
		faulty(r)
	}
	if got := r.Counts(); got["part"] != 3 || got["other"] != 0 || len(got) != 2 {
		t.Errorf("got counts %v, want 3 of part, 0 of other", got)
	}
	text := log.String()
	if got := strings.Count(text, "a fault"); got != 3 {
		t.Errorf("%d lines name the cause, want 3: %s", got, text)
	}
	if got := strings.Count(text, "panics_test.faulty"); got != 1 {
		t.Errorf("%d stacks name the function, want 1: %s", got, text)
	}
}

// TestRecorder_Nil_RecoversNothing checks that panics pass a nil Recorder, so that the tests of a part fail on them.
func TestRecorder_Nil_RecoversNothing(t *testing.T) {
	t.Parallel()
	defer func() {
		if cause := recover(); cause != "a fault" {
			t.Errorf("got %v, want the panic's cause", cause)
		}
	}()
	faulty(nil)
}
