package embedded

import (
	"runtime"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSettingOnce_SameBatch_ReturnsFirst runs several writers of one setting in one batch, before the first is in the
// database.
func TestSettingOnce_SameBatch_ReturnsFirst(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s, err := Open("data", Options{FS: vfs.NewMem(), OnCommit: func(CommitInfo) { once.Do(func() { close(held); <-release }) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.InitSetting(t.Context(), "other", nil); err != nil {
		t.Fatal(err)
	}
	<-held // the committer is blocked: the requests below form one batch
	const writers = 4
	got := make([]string, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			stored, err := s.InitSetting(t.Context(), "name", []byte{'0' + byte(i)})
			if err != nil {
				t.Error(err)
			}
			got[i] = string(stored)
		})
	}
	for n := 0; n < writers; runtime.Gosched() {
		s.queue.mu.Lock()
		n = len(s.queue.mu.waiting)
		s.queue.mu.Unlock()
	}
	close(release)
	group.Wait()
	for _, value := range got {
		if value != got[0] {
			t.Errorf("the writers got different values: %q", got)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
