package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/phone"
)

// connections counts the connections of the process, so that each has its own number in the ledger.
var connections atomic.Int64

// phone is one device: it comes online again and again until ctx ends.
func (r *run) phone(ctx context.Context, random *rand.Rand, index int) {
	for ctx.Err() == nil {
		conn, err := r.connect(ctx, recipientOf(index))
		if err == nil {
			r.online(ctx, random, conn, recipientOf(index))
		}
		if sleep(ctx, time.Duration(20+random.IntN(200))*time.Millisecond) != nil {
			return
		}
	}
}

func (r *run) connect(ctx context.Context, number uint64) (*phone.Conn, error) {
	r.down.RLock()
	defer r.down.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	url := "http://" + r.listen
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/admin/v1/device-tokens", bytes.NewReader(fmt.Appendf(nil, `{"phoneNumber":"+%d"}`, number)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.secrets.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	return phone.Dial(ctx, phone.Config{URL: url, Token: answer.AccessToken})
}

// habit is what a phone does on one connection.
type habit int

const (
	prompt  habit = iota // acknowledges each at once
	upTo                 // acknowledges by seq now and then
	silent               // receives and says nothing
	leaving              // goes away without a word after some messages
)

// online is one connection from start to end.
func (r *run) online(ctx context.Context, random *rand.Rand, conn *phone.Conn, number uint64) {
	id := int(connections.Add(1))
	var once sync.Once
	end := func() { once.Do(func() { _ = conn.Vanish() }) } // it may be gone already
	defer end()
	stop := context.AfterFunc(ctx, end)
	defer stop()
	how := habit(random.IntN(4))
	if !r.isEnding() {
		// A connection from before the end ends with it, whatever its habit left unacknowledged.
		life := time.AfterFunc(time.Duration(500+random.IntN(4000))*time.Millisecond, end)
		defer life.Stop()
		unhook := context.AfterFunc(r.ending, end)
		defer unhook()
	}
	if conn.Ping() != nil {
		return
	}
	waiting := map[string][]string{} // invocation → messages that it acknowledges
	var events []phone.Event
	var err error
	for received := 0; ; {
		if events, err = conn.Next(events[:0], false); err != nil {
			return
		}
		for i := range events {
			if done, ok := waiting[events[i].Completion]; ok && events[i].Error == "" {
				for _, message := range done {
					r.ledger.Note(Entry{Kind: Acked, ID: message})
				}
			}
			received += len(events[i].Messages)
			r.take(id, number, events[i].Messages)
			if how == leaving && received > 20 && !r.isEnding() {
				return
			}
			if r.acknowledge(conn, r.now(how), events[i].Messages, waiting) != nil {
				return
			}
		}
	}
}

func (r *run) isEnding() bool { return r.ending.Err() != nil }

// now is a habit, until the end makes all phones prompt.
func (r *run) now(how habit) habit {
	if r.isEnding() {
		return prompt
	}
	return how
}

func (r *run) take(conn int, number uint64, messages []phone.Message) {
	for _, m := range messages {
		n, _ := strconv.Atoi(m.Content) // our own contents are numbers; 0 would be found as never sent
		r.ledger.Note(Entry{Kind: Received, Number: n, To: number, ID: m.ID, Seq: m.Seq, Lane: m.Priority, Conn: conn, Attempt: m.Attempt})
	}
}

func (r *run) acknowledge(conn *phone.Conn, how habit, messages []phone.Message, waiting map[string][]string) error {
	if len(messages) == 0 || how == silent {
		return nil
	}
	if how == upTo {
		_, err := conn.Invoke("AcknowledgeUpTo", fmt.Sprintf("[%d]", messages[len(messages)-1].Seq))
		return err
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	text, err := json.Marshal([][]string{ids})
	if err != nil {
		return err
	}
	id, err := conn.Invoke("AcknowledgeMessages", string(text))
	waiting[id] = ids
	return err
}
