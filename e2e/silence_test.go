package e2e

import (
	"errors"
	"testing"
	"time"

	phones "github.com/esh3artech/esh3ar/internal/signalrclient"
)

// TestHubs_SilentClients_AreDisconnected opens a connection to each hub and says nothing after the handshake: without a
// limit of silence, connections whose clients have vanished would stay for ever.
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
