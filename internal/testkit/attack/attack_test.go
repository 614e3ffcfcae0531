package attack

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deaf accepts connections and does nothing with them, or closes them at once, until the test ends.
func deaf(t *testing.T, closes bool) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var conns []net.Conn
	accepting.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if closes {
				c.Close()
				continue
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return "http://" + listener.Addr().String()
}

// TestAttack_ContextEnds_Ends shows it of every attack, for a server that never answers and for one that ends every connection.
func TestAttack_ContextEnds_Ends(t *testing.T) {
	for _, closes := range []bool{false, true} {
		url := deaf(t, closes)
		for _, a := range All() {
			t.Run(a.Name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				v := &Victim{
					URL: url, Size: 5, DeviceToken: "token", APIKey: "key",
					Redis: func(context.Context, ...string) (any, error) { return nil, errors.New("no Redis") },
				}
				if err := a.Run(ctx, v); err != nil { // it hangs if it does not end
					t.Fatal(err)
				}
				if v.Answers.Dialed.Load() > 200 {
					t.Errorf("%d connections in 50 ms", v.Answers.Dialed.Load())
				}
			})
		}
	}
}

func TestAttack_OtherMachine_Refused(t *testing.T) {
	for _, url := range []string{"http://192.0.2.1:8080", "http://example.com", "http://"} {
		if err := All()[0].Run(t.Context(), &Victim{URL: url}); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: got %v, want that it is no loopback address", url, err)
		}
	}
}
