package signalr

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuckLink is a transport that takes bytes when the test says so.
type stuckLink struct {
	conn    *Conn
	taken   strings.Builder
	aborted bool
}

func (l *stuckLink) kind() Transports                 { return 0 }
func (l *stuckLink) binary() bool                     { return true }
func (l *stuckLink) polled() bool                     { return false }
func (l *stuckLink) beat(int64)                       {}
func (l *stuckLink) probe(uint64)                     {}
func (l *stuckLink) begin(dst []byte, _ int) []byte   { return append(dst, '<') }
func (l *stuckLink) end(dst []byte) []byte            { return append(dst, '>') }
func (l *stuckLink) goodbye(dst []byte, _ int) []byte { return append(dst, "bye"...) }
func (l *stuckLink) flush()                           {}
func (l *stuckLink) drained()                         { l.taken.WriteString("|drained") }
func (l *stuckLink) readsChanged()                    {}
func (l *stuckLink) abort()                           { l.aborted = true }
func (l *stuckLink) hangUp()                          { l.aborted = true }

// take lets n bytes out, all for a negative n.
func (l *stuckLink) take(n int) {
	b := l.conn.out.advance(l, 0)
	if n < 0 {
		n = len(b)
	}
	l.taken.Write(b[:n])
	l.conn.out.advance(l, n)
}

// stuck returns an open connection over a stuckLink.
func stuck(hub *Hub, limit int) (*Conn, *stuckLink) {
	s := NewServer(hub, Options{Pollers: -1, Limits: Limits{Outbox: limit}})
	c := &Conn{server: s, id: "id"}
	l := &stuckLink{conn: c}
	c.link, c.in.conn, c.out.conn = l, c, c
	c.in.receive([]byte(hello))
	l.take(-1)
	return c, l
}

func TestOutbox(t *testing.T) {
	frame := JSONFrame([]byte(strings.Repeat("x", 38))) // 40 bytes with its framing
	t.Run("item143 full until half empty", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hub := NewHub()
			notices := 0
			var again func()
			hub.OnWritable = func(*Conn) {
				notices++
				if again != nil {
					again()
				}
			}
			c, l := stuck(hub, 100)
			for range 2 {
				if err := c.TryWrite(frame); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.TryWrite(frame); !errors.Is(err, ErrFull) {
				t.Fatalf("third: %v", err)
			}
			waited := make(chan error, 1)
			go func() { waited <- c.Write(context.Background(), frame) }()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := c.Write(ctx, frame); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("write: %v", err)
			}
			l.take(29) // 51 left
			synctest.Wait()
			if notices > 0 || len(waited) > 0 {
				t.Error("too early")
			}
			l.take(1)
			synctest.Wait()
			if notices != 1 || len(waited) != 1 || <-waited != nil {
				t.Errorf("%d notices", notices)
			}
			// Full and empty again while the notice runs: one more, not at the same time.
			again = func() {
				again = nil
				_ = c.TryWrite(frame)
				_ = c.TryWrite(frame)
				if err := c.TryWrite(frame); !errors.Is(err, ErrFull) {
					t.Errorf("full: %v", err)
				}
				l.take(-1)
			}
			if err := c.TryWrite(frame); !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			l.take(-1)
			synctest.Wait()
			if notices != 3 {
				t.Errorf("%d notices", notices)
			}
		})
	})
	t.Run("all or none", func(t *testing.T) {
		c, l := stuck(NewHub(), 100)
		if err := c.TryWrite(frame); err != nil {
			t.Fatal(err)
		}
		if err := c.TryWrite(frame, frame); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		l.take(-1)
		if got := l.taken.String(); strings.Count(got, "x") != 38 {
			t.Error(got)
		}
	})
	t.Run("one large message when nothing waits", func(t *testing.T) {
		c, _ := stuck(NewHub(), 10)
		if err := c.TryWrite(frame); err != nil {
			t.Error(err)
		}
	})
	t.Run("item148 what waits goes before the Close", func(t *testing.T) {
		c, l := stuck(NewHub(), 100)
		l.taken.Reset()
		if err := c.TryWrite(frame); err != nil {
			t.Fatal(err)
		}
		c.Abort()
		if err := c.TryWrite(frame); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		l.take(-1)
		if got, want := l.taken.String(), "<"+strings.Repeat("x", 38)+"><{\"type\":7}\x1e>bye|drained"; got != want {
			t.Errorf("%q", got)
		}
	})
	t.Run("the end wakes who waits", func(t *testing.T) {
		for _, end := range []func(*Conn){(*Conn).Abort, func(c *Conn) { c.failed(c.link, errors.New("x")) }} {
			synctest.Test(t, func(t *testing.T) {
				c, _ := stuck(NewHub(), 50)
				if err := c.TryWrite(frame); err != nil {
					t.Fatal(err)
				}
				waited := make(chan error, 1)
				go func() { waited <- c.Write(context.Background(), frame) }()
				synctest.Wait()
				end(c)
				if err := <-waited; !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			})
		}
	})
	t.Run("bytes that wait are not moved", func(t *testing.T) {
		c, l := stuck(NewHub(), 1<<20)
		l.taken.Reset()
		want := ""
		for i := range 300 {
			text := strings.Repeat(string(rune('a'+i%26)), 100)
			want += "<" + text + ">"
			if err := c.TryWrite(JSONFrame([]byte(text))); err != nil {
				t.Fatal(err)
			}
			l.take(min(97, c.Pending()))
		}
		l.take(-1)
		if l.taken.String() != want {
			t.Error("bytes were lost or turned around")
		}
	})
}

func TestPongs_ClientDoesNotRead_AtMostTwoWait(t *testing.T) {
	// However little the transport takes at a time. What goes out is whole pongs in the order of the pings, the newest among them,
	// none inside a message and none behind the goodbye.
	c, l := stuck(NewHub(), 100)
	if err := c.TryWrite(JSONFrame([]byte(strings.Repeat("x", 38)))); err != nil {
		t.Fatal(err)
	}
	l.taken.Reset()
	const pings = 1000
	most := 0
	for i := range pings {
		c.out.control(fmt.Appendf(nil, "(%04d)", i))
		l.take(1)
		most = max(most, c.Pending())
	}
	if pong := len("(0000)"); most > 40+2*pong {
		t.Errorf("%d bytes wait", most)
	}
	l.take(-1)
	l.take(-1)
	out := l.taken.String()
	if !strings.HasSuffix(out, fmt.Sprintf("(%04d)", pings-1)) || !regexp.MustCompile(`^(<x{38}>)?(\(\d{4}\))+$`).MatchString(out) {
		t.Errorf("%.200q", out)
	}
	pongs := strings.Split(out[strings.IndexByte(out, '('):], ")")
	if pongs = pongs[:len(pongs)-1]; !slices.IsSorted(pongs) || len(slices.Compact(pongs)) != strings.Count(out, "(") {
		t.Errorf("%.200q", out)
	}
	c.out.control([]byte("(a)"))
	c.out.control([]byte("(b)"))
	c.Close("", false)
	l.taken.Reset()
	l.take(-1)
	l.take(-1)
	if out := l.taken.String(); !strings.HasPrefix(out, `(a)<{"type":7}`+"\x1e>bye|drained") || strings.Contains(out, "(b)") {
		t.Errorf("behind the goodbye: %q", out)
	}
}

func TestLink_Answers_AreBounded(t *testing.T) {
	// A client that asks and asks and reads no answers is not answered without end.
	synctest.Test(t, func(t *testing.T) {
		hub, _ := echoHub()
		c, l := stuck(hub, 100)
		for i := range 50 {
			ask, _ := echo(i)
			c.in.receive([]byte(ask + "\x1e"))
			synctest.Wait()
		}
		_, answer := echo(50)
		if most := 100 + len(answer) + 3; c.Pending() > most {
			t.Errorf("%d bytes wait", c.Pending())
		}
		l.taken.Reset()
		for c.Pending() > 0 {
			l.take(-1)
			synctest.Wait()
		}
		want := ""
		for i := range 50 {
			_, answer := echo(i)
			want += "<" + answer + "\x1e>"
		}
		if got := l.taken.String(); got != want {
			t.Errorf("answers %q", got)
		}
	})
}

func TestLink_Abort_DropsQueue(t *testing.T) {
	c, l := stuck(NewHub(), 100)
	if err := c.TrySend("x"); err != nil {
		t.Fatal(err)
	}
	c.failed(c.link, errors.New("broken pipe"))
	if !l.aborted || c.Pending() != 0 || !errors.Is(c.TrySend("x"), ErrClosed) {
		t.Error("not dropped")
	}
	if c.Context().Err() == nil {
		t.Error("context goes on")
	}
}
