package lifecycle_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// replayed returns a message that failed, was replayed and then delivered.
func lived() (esh3ar.MessageID, lifecycle.Steps) {
	id := esh3ar.NewMessageID()
	s := lifecycle.First(id, true)
	at := id.CreatedAt()
	s.Enqueue(at + 1)
	s.Apply(&esh3ar.Change{To: esh3ar.Sent, Attempt: 1, At: at + 2})
	s.Apply(&esh3ar.Change{To: esh3ar.Scheduled, Attempt: 2, At: at + 3}) // counts an attempt only
	s.Apply(&esh3ar.Change{To: esh3ar.Failed, Attempt: 2, At: at + 4, Reason: "attempts"})
	s.Replay(at + 5)
	s.Apply(&esh3ar.Change{To: esh3ar.Delivered, Attempt: 1, At: at - 6}) // by a node whose clock is behind
	return id, s
}

func TestSteps_FailedAndReplayed_FoldToProgress(t *testing.T) {
	t.Parallel()
	id, s := lived()
	p := s.Progress(7)
	at := id.CreatedAt()
	want := esh3ar.Progress{
		Stage: esh3ar.Stage{Life: 2, Status: esh3ar.Delivered}, Version: 6, Attempts: 1, ScheduledAt: 7, DeliveredAt: at - 6,
	}
	if p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if s.Apply(&esh3ar.Change{To: esh3ar.Sent}) || s.Apply(&esh3ar.Change{To: esh3ar.Read, Life: 1}) || s.Apply(&esh3ar.Change{To: esh3ar.Scheduled, Attempt: 9}) {
		t.Error("Apply accepted an earlier status, another life, or an attempt out of order")
	}
}

func TestSteps_EncodedRow_IsDecoded(t *testing.T) {
	t.Parallel()
	id, s := lived()
	row := s.Append(nil)
	if back, err := lifecycle.Decode(row, id, true); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("got %+v, %v; want %+v", back, err, s)
	}
	for n := 1; n < len(row); n++ {
		if _, err := lifecycle.Decode(row[:n], id, true); !errors.Is(err, codec.ErrDamaged) {
			t.Errorf("first %d of %d bytes: got %v, want ErrDamaged", n, len(row), err)
		}
	}
	if first, err := lifecycle.Decode(nil, id, true); err != nil || !reflect.DeepEqual(first, lifecycle.First(id, true)) {
		t.Errorf("empty row: got %+v, %v; want the first step", first, err)
	}
}

func TestEntry_EncodedRow_IsDecoded(t *testing.T) {
	t.Parallel()
	id, s := lived()
	var row []byte
	entries := make([]lifecycle.Entry, len(s.List))
	for i, step := range s.List {
		entries[i] = lifecycle.Entry{Message: id, Recipient: 1, Version: uint32(i + 1), Annotated: i%2 == 0, Step: step}
		row = entries[i].Append(row)
	}
	for i := range entries {
		got, rest, err := lifecycle.DecodeEntry(row)
		if err != nil || got != entries[i] {
			t.Fatalf("got %+v, %v; want %+v", got, err, entries[i])
		}
		row = rest
	}
	if _, _, err := lifecycle.DecodeEntry(row); !errors.Is(err, codec.ErrDamaged) {
		t.Errorf("after the last entry: got %v, want ErrDamaged", err)
	}
}

// FuzzDecode checks that every decodable row survives encoding and decoding again, and that decoded steps are valid.
func FuzzDecode(f *testing.F) {
	id, s := lived()
	f.Add(s.Append(nil))
	entry := lifecycle.Entry{Message: id, Recipient: 1, Version: 1, Annotated: true, Step: s.List[0]}
	f.Add(entry.Append(nil))
	f.Fuzz(func(t *testing.T, row []byte) {
		if s, err := lifecycle.Decode(row, id, false); err == nil {
			_ = s.Progress(0)
			if again, err := lifecycle.Decode(s.Append(nil), id, false); err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("%x: decoded %+v, after encoding again %+v, %v", row, s, again, err)
			}
		}
		for rest := row; len(rest) > 0; {
			e, behind, err := lifecycle.DecodeEntry(rest)
			if err != nil {
				break
			}
			if again, nothing, err := lifecycle.DecodeEntry(e.Append(nil)); err != nil || again != e || len(nothing) > 0 || len(behind) >= len(rest) {
				t.Errorf("%x: decoded %+v, after encoding again %+v, %v", rest, e, again, err)
			}
			_ = e.Event()
			rest = behind
		}
	})
}
