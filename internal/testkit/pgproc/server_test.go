package pgproc_test

import (
	"net"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// TestServer_Lifecycle covers every operation that tools use.
func TestServer_Lifecycle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	s, err := pgproc.Start(t.Context(), pgproc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"pause", s.Pause},
		{"resume", s.Resume},
		{"kill", s.Kill},
		{"restart", func() error { return s.Restart(t.Context()) }},
		{"stop", s.Stop},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v\n%s", step.name, err, s.Output)
		}
	}
	if conn, err := net.Dial("tcp", s.Addr); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
}
