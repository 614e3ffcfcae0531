package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// recipientOf is the phone number of index n.
func recipientOf(n int) uint64 { return 967_773_000_000 + uint64(n) }

// message is one that is being sent.
type message struct {
	number   int
	to       uint64
	priority string
}

var priorities = []string{"low", "normal", "normal", "high", "urgent"}

// send offers calls until ctx ends: single ones and batches, with and without a key.
func (r *run) send(ctx context.Context, random *rand.Rand, sender int) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for i := 0; ctx.Err() == nil; i++ {
		c := r.newCall(random, sender, i)
		r.see(ctx, client, c)
		if err := sleep(ctx, time.Duration(random.IntN(3))*time.Millisecond); err != nil {
			return
		}
	}
}

// call is one API call.
type call struct {
	key      string
	batch    bool
	messages []message
	body     []byte
}

// stride keeps the numbers of senders apart.
const stride = 1_000_000

func (r *run) newCall(random *rand.Rand, sender, turn int) *call {
	c := &call{batch: random.IntN(10) == 0}
	if random.IntN(10) < 7 || c.batch {
		c.key = fmt.Sprintf("s%d-%d", sender, turn)
	}
	count := 1
	if c.batch {
		count = 2 + random.IntN(4)
	}
	for i := range count {
		c.messages = append(c.messages, message{
			number: (sender+1)*stride*10 + turn*10 + i, to: recipientOf(random.IntN(r.Phones)), priority: priorities[random.IntN(len(priorities))],
		})
	}
	c.encode()
	for _, m := range c.messages {
		r.ledger.Note(Entry{Kind: Called, Number: m.number, To: m.to, Key: c.key})
	}
	return c
}

func (c *call) encode() {
	var out bytes.Buffer
	for i, m := range c.messages {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"recipientPhoneNumber":"+%d","messageContent":"%d","priority":%q}`, m.to, m.number, m.priority)
	}
	c.body = out.Bytes()
	if c.batch {
		c.body = fmt.Appendf(nil, `{"messages":[%s]}`, out.Bytes())
	}
}

// see makes a call and, where it has a key, makes it again until there is an answer.
func (r *run) see(ctx context.Context, client *http.Client, c *call) {
	for {
		status, body, err := r.post(client, c)
		switch {
		case err == nil && status == http.StatusAccepted:
			r.accepted(c, body)
			return
		case err == nil && status != http.StatusBadGateway:
			for _, m := range c.messages {
				r.ledger.Note(Entry{Kind: Refused, Number: m.number})
			}
			return
		}
		for _, m := range c.messages {
			r.ledger.Note(Entry{Kind: Unknown, Number: m.number})
		}
		if c.key == "" || ctx.Err() != nil {
			return
		}
		r.awaitNode()
	}
}

// awaitNode returns when the node is not being killed and started.
func (r *run) awaitNode() {
	r.down.RLock()
	defer r.down.RUnlock()
}

// post is not bound to a context: a call that was begun is seen through, or its outcome would be unknown at the end.
func (r *run) post(client *http.Client, c *call) (int, []byte, error) {
	path := "/v1/messages"
	if c.batch {
		path += "/batch"
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+r.listen+path, bytes.NewReader(c.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.secrets.APIKey)
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// receipt is one message of an answer.
type receipt struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq"`
}

func (r *run) accepted(c *call, body []byte) {
	receipts := make([]receipt, 1)
	var err error
	if c.batch {
		var answer struct{ Messages []receipt }
		err = json.Unmarshal(body, &answer)
		receipts = answer.Messages
	} else {
		err = json.Unmarshal(body, &receipts[0])
	}
	for i, m := range c.messages {
		e := Entry{Kind: Accepted, Number: m.number, To: m.to}
		if err == nil && i < len(receipts) {
			e.ID, e.Seq = receipts[i].ID, receipts[i].Seq
		}
		r.ledger.Note(e)
	}
}

// settleWithin is how long the last acknowledgements may take, of messages of calls without an answer too.
const settleWithin = 30 * time.Second

// final asks the node for every message that appeared, until all are acknowledged or time is up.
func (r *run) final(ctx context.Context) error {
	deadline := time.Now().Add(settleWithin)
	asked := map[string]bool{}
	for _, e := range r.ledger.Entries() {
		if e.ID == "" || asked[e.ID] {
			continue
		}
		asked[e.ID] = true
		for {
			final, err := r.ask(ctx, e.ID)
			if err != nil {
				return err
			}
			if ranks[final.Status] >= ranks["delivered"] || time.Now().After(deadline) {
				r.ledger.Note(final)
				break
			}
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask reads what the node says of a message.
func (r *run) ask(ctx context.Context, id string) (final Entry, err error) {
	var m struct{ Status string }
	if err := r.get(ctx, "/v1/messages/"+id, &m); err != nil {
		return final, err
	}
	var history struct {
		Items []struct {
			Version int
			Status  string
		}
	}
	if m.Status != "" {
		if err := r.get(ctx, "/v1/messages/"+id+"/events", &history); err != nil {
			return final, err
		}
	}
	versions := ""
	for _, e := range history.Items {
		versions += fmt.Sprintf("%d %s ", e.Version, e.Status)
	}
	return Entry{Kind: Final, ID: id, Status: m.Status, Versions: versions}, nil
}

// get leaves out as it is when there is no such thing.
func (r *run) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.listen+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.secrets.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusNotFound {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return json.Unmarshal(body, out)
}
