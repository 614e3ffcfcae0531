package main

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/esh3artech/esh3ar/signalr"
)

const (
	maxName = 20   // characters
	maxText = 1000 // characters
	// patience is how long a member may think about a question.
	patience = 30 * time.Second
)

// said is what a page gets of each message.
type said struct {
	Room string    `json:"room"`
	Who  string    `json:"who"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// authenticate accepts any user name without proof. A real application must verify a token.
func authenticate(r *http.Request) (signalr.Identity, error) {
	name := signalr.BearerToken(r)
	if name == "" || utf8.RuneCountInString(name) > maxName {
		return signalr.Identity{}, errors.New("who are you")
	}
	return signalr.Identity{UserID: name}, nil
}

func newHub() *signalr.Hub {
	hub := signalr.NewHub()
	hub.OnDisconnected = func(c *signalr.Conn, _ error) {
		for _, room := range c.Groups() {
			_ = present(c.Server(), room) // who has no room now hears of it with the next change
		}
	}
	signalr.Handle1(hub, "Enter", enter)
	signalr.On1(hub, "Leave", func(c *signalr.Call, room string) error {
		if err := c.Conn().Leave(room); err != nil {
			return err
		}
		return present(c.Server(), room)
	})
	signalr.On2(hub, "Say", say)
	signalr.Stream1(hub, "Clock", clock)
	signalr.Handle2(hub, "Ask", ask)
	return hub
}

// enter adds the caller to a room and returns the users in it, including the caller.
func enter(c *signalr.Call, room string) ([]string, error) {
	room = strings.TrimSpace(room)
	if room == "" || utf8.RuneCountInString(room) > maxName {
		return nil, signalr.Errorf("a room has a name of at most %d characters", maxName)
	}
	if err := c.Conn().Join(room); err != nil {
		return nil, err
	}
	return c.Server().Group(room).UserIDs(), present(c.Server(), room)
}

// present sends the users of a room to its members.
func present(s *signalr.Server, room string) error {
	return s.Group(room).TrySend("present", room, s.Group(room).UserIDs())
}

func say(c *signalr.Call, room, text string) error {
	if text == "" || utf8.RuneCountInString(text) > maxText {
		return signalr.Errorf("say something, in at most %d characters", maxText)
	}
	return c.Server().Group(room).Send(c.Context(), "said", said{room, c.Conn().UserID(), text, time.Now().UTC()})
}

// clock streams the server's time until the client has enough.
func clock(c *signalr.Call, every float64) (iter.Seq2[string, error], error) {
	step := time.Duration(every * float64(time.Second))
	if step < 100*time.Millisecond || step > time.Hour {
		return nil, signalr.Errorf("between a tenth of a second and an hour")
	}
	return func(yield func(string, error) bool) {
		ticker := time.NewTicker(step)
		defer ticker.Stop()
		for yield(time.Now().UTC().Format(time.TimeOnly), nil) {
			select {
			case <-ticker.C:
			case <-c.Context().Done():
				return
			}
		}
	}, nil
}

// ask puts a question to a member and returns the answer: a client result.
func ask(c *signalr.Call, who, question string) (string, error) {
	members := c.Server().User(who).Conns()
	if len(members) == 0 {
		return "", signalr.Errorf("%s is not here", who)
	}
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	answer, err := signalr.Invoke[string](ctx, members[0], "question", c.Conn().UserID(), question)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", signalr.Errorf("%s does not answer", who)
	}
	return answer, err
}
