package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// device is one phone. Its name, by which the node's circuit breaker identifies it, and its token stay the same for the
// round.
type device struct {
	*round
	random *rand.Rand
	index  int
	name   string
	token  string
	at     *target
}

// run reconnects until ctx ends.
func (d *device) run(ctx context.Context) {
	for ctx.Err() == nil {
		if o, err := d.connect(ctx); err == nil {
			o.run(ctx)
			d.note(checker.Entry{Kind: checker.Closed, Conn: o.id, To: o.number})
		}
		d.stayAway(ctx)
	}
}

// stayAway waits until the next connection, at most until the round's ending phase begins.
func (d *device) stayAway(ctx context.Context) {
	if d.isEnding() {
		_ = sleep(ctx, between(d.random, 20*time.Millisecond, 60*time.Millisecond)) // the caller checks ctx
		return
	}
	timer := time.NewTimer(profileOf(d.index).absence(d.random))
	defer timer.Stop()
	select {
	case <-d.ending.Done(): // also done when ctx is
	case <-timer.C:
	}
}

func (d *device) connect(ctx context.Context) (*online, error) {
	d.choose(ctx)
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if d.token == "" {
		if err := d.register(ctx); err != nil {
			return nil, err
		}
	}
	o := &online{device: d, id: int(d.conns.Add(1)), number: recipientOf(d.index), waiting: map[string]invocation{}, seqs: map[string]uint64{}}
	began := d.clock.now()
	if o.behaviour = profileOf(d.index).behaviour(d.random); d.isEnding() {
		o.behaviour, o.atEnd = prompt, true
	}
	var err error
	if o.conn, err = signalrclient.Dial(ctx, signalrclient.Config{URL: d.at.url(), Token: d.token, NoPongs: o.behaviour == stalled}); err != nil {
		return nil, err
	}
	d.note(checker.Entry{Kind: checker.Opened, Conn: o.id, To: o.number, Began: began, Quiet: o.behaviour == stalled})
	return o, nil
}

// choose keeps the current node three times out of four, as a client with a cached address does, so that the node's
// breaker sees repeated connections of the device.
func (d *device) choose(ctx context.Context) {
	if d.at == nil || d.at.isDown() || d.random.IntN(4) == 0 {
		d.at = d.fleet.randomNode(ctx, d.random)
	}
}

func (d *device) register(ctx context.Context) error {
	body := fmt.Appendf(nil, `{"phoneNumber":"+%d","deviceId":%q}`, recipientOf(d.index), d.name)
	a, err := d.do(ctx, http.DefaultClient, request{method: http.MethodPost, path: "/admin/v1/device-tokens", body: body, admin: true})
	if err != nil {
		return err
	}
	var made struct {
		AccessToken string `json:"accessToken"`
	}
	err = json.Unmarshal(a.body, &made)
	d.token = made.AccessToken
	return err
}
