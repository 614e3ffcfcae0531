package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// fleet is a set of phones with one connection each. Each acknowledges every message at once.
type fleet struct {
	phones []*signalrclient.Conn
	done   sync.WaitGroup
	stop   chan struct{}
}

// pingEvery is the keep-alive interval; the server's timeout is 30 s.
const pingEvery = 12 * time.Second

// connectFleet brings the phones with recipient indexes 0 to count-1 online, on the nodes round robin.
func connectFleet(ctx context.Context, urls []string, adminToken string, count int, sends bool, l *ledger) (*fleet, error) {
	tokens, err := deviceTokens(ctx, urls, adminToken, count)
	if err != nil {
		return nil, fmt.Errorf("connect phones: %w", err)
	}
	return dialFleet(ctx, urls, tokens, sends, l)
}

// deviceTokens returns the tokens of the phones with recipient indexes 0 to count-1.
func deviceTokens(ctx context.Context, urls []string, adminToken string, count int) ([]string, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrentDials}}
	defer client.CloseIdleConnections()
	tokens := make([]string, count)
	var group errgroup.Group
	group.SetLimit(concurrentDials)
	for i := range tokens {
		group.Go(func() (err error) {
			tokens[i], err = deviceToken(ctx, client, urls[i%len(urls)], adminToken, recipientOf(i))
			return err
		})
	}
	return tokens, group.Wait()
}

// concurrentDials bounds concurrent connects: the listen queue is short.
const concurrentDials = 64

// dialFleet connects a phone for each token. A phone receives as soon as it is connected.
func dialFleet(ctx context.Context, urls, tokens []string, sends bool, l *ledger) (*fleet, error) {
	f := &fleet{phones: make([]*signalrclient.Conn, len(tokens)), stop: make(chan struct{})}
	var group errgroup.Group
	group.SetLimit(concurrentDials)
	for i, token := range tokens {
		group.Go(func() (err error) {
			p, err := signalrclient.Dial(ctx, signalrclient.Config{URL: urls[i%len(urls)], Token: token, Buffer: 1024})
			if err != nil {
				return err
			}
			f.phones[i] = p
			in := inbox{ledger: l, sends: sends}
			f.done.Go(func() { _ = in.read(p) }) // the ledger shows what a lost phone missed
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		f.close()
		return nil, fmt.Errorf("connect phones: %w", err)
	}
	f.done.Go(f.ping)
	return f, nil
}

func deviceToken(ctx context.Context, client *http.Client, url, adminToken string, recipient uint64) (string, error) {
	body := fmt.Appendf(nil, `{"phoneNumber":"+%d"}`, recipient)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/admin/v1/device-tokens", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("device token: %s: %s", resp.Status, text)
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	return answer.AccessToken, json.Unmarshal(text, &answer)
}

// ping sends the keep-alives of all phones, spread over the interval.
func (f *fleet) ping() {
	tick := time.NewTicker(pingEvery / 100)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		for i := turn % 100; i < len(f.phones); i += 100 {
			_ = f.phones[i].Ping() // the reader detects a broken connection
		}
	}
}

func (f *fleet) close() {
	close(f.stop)
	for _, p := range f.phones {
		if p != nil {
			_ = p.Vanish()
		}
	}
	f.done.Wait()
}
