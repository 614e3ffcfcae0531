package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// BenchmarkRead measures the reads that a cache saves: one message, one API key, one business.
func BenchmarkRead(b *testing.B) {
	server, err := pgproc.Start(b.Context(), pgproc.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop()
	s, err := postgres.Open(b.Context(), server.URL("postgres"), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	business := esh3ar.Business{ID: esh3ar.NewBusinessID(), Name: "b", CreatedAt: esh3ar.TimeOf(time.Now())}
	key := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: business.ID, Hash: esh3ar.KeyHash{1}, CreatedAt: business.CreatedAt}
	m := message(business.ID, 967770000001)
	_, err = s.Append(b.Context(), []*esh3ar.Call{{Business: business.ID, Messages: []*esh3ar.Message{m}}})
	for _, err := range []error{err, s.CreateBusiness(b.Context(), business), s.CreateKey(b.Context(), key)} {
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, read := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"message", func(ctx context.Context) error { _, err := s.Message(ctx, m.ID); return err }},
		{"key", func(ctx context.Context) error { _, err := s.KeyByHash(ctx, key.Hash); return err }},
		{"business", func(ctx context.Context) error { _, err := s.Business(ctx, business.ID); return err }},
	} {
		b.Run(read.name, func(b *testing.B) {
			for b.Loop() {
				if err := read.do(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
