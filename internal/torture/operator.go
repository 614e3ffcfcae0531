package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// operator processes the dead letters: it replays some by id, some by a filter, and leaves the rest. It also reads the
// state of the circuit breakers of devices.
type operator struct {
	*round
	random *rand.Rand
	client *http.Client
}

func (r *round) operate(ctx context.Context, random *rand.Rand) {
	o := &operator{r, random, newClient()}
	defer o.client.CloseIdleConnections()
	for sleep(ctx, between(random, 100*time.Millisecond, 400*time.Millisecond)) == nil {
		o.breakers()
		for _, letter := range o.newestDeadLetters() {
			switch draw := random.IntN(100); {
			case letter.number()%3 == 0: // left in the queue, unless a replay by filter matches it
			case draw < 40:
				o.replay(&letter)
			case draw < 44:
				o.replayMany(&letter)
			}
		}
	}
}

// newestDeadLetters returns up to ten of the newest dead letters of the round.
func (o *operator) newestDeadLetters() []record {
	query := url.Values{"limit": {"10"}, "from": {stamp(o.since)}}
	a, err := o.do(o.whole, o.client, request{method: http.MethodGet, path: "/v1/dead-letters?" + query.Encode()})
	var page struct{ Items []record }
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
		return nil // the node is down
	}
	return page.Items
}

// replay replays one dead letter. The answer is 404 if it was replayed or acknowledged in the meantime.
func (o *operator) replay(letter *record) {
	number := letter.number()
	o.note(checker.Entry{Kind: checker.Replaying, Number: number, ID: letter.ID})
	a, err := o.do(o.whole, o.client, request{method: http.MethodPost, path: "/v1/dead-letters/" + letter.ID + "/replay"})
	if err != nil || a.status != http.StatusAccepted {
		return
	}
	var m record
	if json.Unmarshal(a.body, &m) == nil {
		o.note(checker.Entry{Kind: checker.Replayed, Number: number, ID: letter.ID, Seq: m.Seq, Life: m.Life, Began: a.began, At: a.at})
	}
}

// replayMany replays failed messages of one recipient in this round. Messages of earlier rounds must not reappear.
func (o *operator) replayMany(letter *record) {
	o.note(checker.Entry{Kind: checker.Replaying})
	body := fmt.Appendf(nil, `{"recipientPhoneNumber":%q,"from":%q,"limit":%d}`, letter.Recipient, stamp(o.since), 1+o.random.IntN(5))
	a, err := o.do(o.whole, o.client, request{method: http.MethodPost, path: "/v1/dead-letters/replay", body: body})
	if err != nil || a.status != http.StatusOK {
		return
	}
	var done struct{ Replayed int }
	if json.Unmarshal(a.body, &done) == nil {
		o.note(checker.Entry{Kind: checker.ReplayedAll, Count: done.Replayed, Began: a.began, At: a.at})
	}
}

// breakers records how many device breakers are open. It shows that crashing phones are detected.
func (o *operator) breakers() {
	a, err := o.do(o.whole, o.client, request{method: http.MethodGet, path: "/admin/v1/breakers", admin: true})
	var report struct{ DevicesOpen int }
	if err == nil && a.status == http.StatusOK && json.Unmarshal(a.body, &report) == nil && report.DevicesOpen > 0 {
		o.note(checker.Entry{Kind: checker.Tripped, Count: report.DevicesOpen})
	}
}
