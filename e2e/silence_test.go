package e2e

import (
	"errors"
	"testing"
	"time"

	phones "github.com/esh3artech/esh3ar/internal/signalrclient"
)

// TestHubs_SilentClients_AreDisconnected opens a connection to each hub and sends nothing after the handshake. Without a
// timeout, connections of vanished clients would stay open forever.
func TestHubs_SilentClients_AreDisconnected(t *testing.T) {
	t.Parallel()
	p := start(t)
	for path, token := range map[string]string{phones.Path: p.token(alice, "silent"), phones.BusinessPath: p.secrets.APIKey} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			conn, err := phones.Dial(t.Context(), phones.Config{URL: p.node.URL, Path: path, Token: token})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Vanish() }) // the node has closed it
			ended := make(chan error, 1)
			go func() {
				for {
					if _, err := conn.Next(nil, false); err != nil {
						ended <- err
						return
					}
				}
			}()
			select {
			case err := <-ended:
				var closed *phones.ErrClosed
				if !errors.As(err, &closed) || !closed.Reconnect {
					t.Errorf("got end %v, want a close that allows to reconnect", err)
				}
			case <-time.After(patience): // bounds a hang
				t.Errorf("got a connection that is open after %v of silence, want it closed", patience)
			}
		})
	}
}

// TestPhones_AckTimeout_RepeatsWithoutPings checks that a push is repeated to a phone that sends no pings: the
// acknowledgement timeout decides, not the next ping.
func TestPhones_AckTimeout_RepeatsWithoutPings(t *testing.T) {
	t.Parallel()
	p := start(t, "--ack-timeout", "1s", "--retry-base", "100ms", "--retry-cap", "100ms")
	conn, err := phones.Dial(t.Context(), phones.Config{URL: p.node.URL, Token: p.token(alice, "a")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Vanish() }) // the node may have closed it
	m := p.send(alice, "hello", "normal")
	for attempt := 0; attempt < 2; {
		events, err := conn.Next(nil, true)
		if err != nil {
			t.Fatalf("got %v after %d pushes of %s, want a repeat", err, attempt, m.ID)
		}
		for _, e := range events {
			for _, pushed := range e.Messages {
				attempt = pushed.Attempt
			}
		}
	}
}
