package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// ClusterPath is where a node shows the public keys of its cluster, to everybody.
const ClusterPath = "/.well-known/esh3ar-cluster"

// clusterWord is what a trusted source says of a cluster.
type clusterWord struct {
	Cluster string   `json:"cluster"` // its name; empty: the source does not know
	Keys    []string `json:"keys"`    // public; a word in Redis counts if one of them verifies it
}

// publicKeys answers with the public keys of the node's cluster.
func publicKeys(a *auth.Result) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read this with GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_ = json.NewEncoder(w).Encode(clusterWord{a.Cluster, a.Ring.Public()}) // the caller may be gone
	})
}

// keySource is where a gateway has the public keys of its cluster from. It must not be Redis.
type keySource interface {
	read(ctx context.Context) (clusterWord, error)
	close() error
}

// errNoKeySource tells an operator how a gateway can know what to trust.
var errNoKeySource = errors.New("--redis-url: what Redis lists counts only with the signature of a node: give --cluster-keys (`esh3ar keys list` " +
	"prints them), or --nodes (they are asked for the keys), or --database-url")

// keySource returns the one that the flags name.
func (c *GatewayConfig) keySource(ctx context.Context, log *slog.Logger) (keySource, error) {
	switch {
	case len(c.ClusterKeys) > 0:
		return fixedKeys(c.ClusterKeys), nil
	case c.DatabaseURL != "":
		return openKeyDatabase(ctx, c.DatabaseURL, log)
	case len(c.Nodes) > 0:
		return &askedNodes{urls: c.Nodes}, nil
	}
	return nil, usage.Wrap(errNoKeySource)
}

// fixedKeys are those of --cluster-keys.
type fixedKeys []string

func (f fixedKeys) read(context.Context) (clusterWord, error) { return clusterWord{Keys: f}, nil }
func (fixedKeys) close() error                                { return nil }

// askedNodes are those of --nodes: the operator has named them, so that their calls and their keys are trusted alike.
type askedNodes struct{ urls []string }

// keyAnswer bounds the answer of a node, in bytes.
const keyAnswer = 64 << 10

func (a *askedNodes) read(ctx context.Context) (word clusterWord, err error) {
	for _, url := range a.urls {
		if word, err = askNode(ctx, url); err == nil {
			return word, nil
		}
	}
	return word, err
}

func askNode(ctx context.Context, url string) (word clusterWord, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+ClusterPath, nil)
	if err != nil {
		return word, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return word, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return word, fmt.Errorf("ask %s for the keys of its cluster: %s", url, resp.Status)
	}
	return word, json.NewDecoder(io.LimitReader(resp.Body, keyAnswer)).Decode(&word)
}

func (*askedNodes) close() error { return nil }

// keyDatabase is the cluster's PostgreSQL.
type keyDatabase struct{ store *postgres.Store }

func openKeyDatabase(ctx context.Context, url string, log *slog.Logger) (*keyDatabase, error) {
	store, err := OpenPostgres(ctx, url, postgres.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return &keyDatabase{store}, nil
}

func (d *keyDatabase) read(ctx context.Context) (word clusterWord, err error) {
	if word.Cluster, err = auth.ClusterOf(ctx, d.store); err != nil {
		return word, err
	}
	ring, err := auth.RingOf(ctx, d.store, time.Now)
	if err != nil {
		return word, err
	}
	word.Keys = ring.Public()
	return word, nil
}

func (d *keyDatabase) close() error { return d.store.Close() }

// Pauses between two readings of the source: a rotated key signs some seconds after it was made.
const (
	keysEvery = 5 * time.Second
	keysAgain = time.Second // after a reading that failed
)

// clusterKeys are the public keys of a cluster, read again and again.
type clusterKeys struct {
	keyring.PublicKeys
	source keySource
	next   time.Time // of the next reading
}

// refresh reads the source if it is time, and returns what it says of the cluster's name.
func (k *clusterKeys) refresh(ctx context.Context) (cluster string, err error) {
	if time.Now().Before(k.next) {
		return "", nil
	}
	word, err := k.source.read(ctx)
	if err == nil {
		err = k.Set(word.Keys)
	}
	if err != nil {
		k.next = time.Now().Add(keysAgain)
		return "", err
	}
	k.next = time.Now().Add(keysEvery)
	return word.Cluster, nil
}
