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

// ClusterPath is the public route of a node that returns the public keys of its cluster.
const ClusterPath = "/.well-known/esh3ar-cluster"

// clusterIdentity is the name and the public keys of a cluster, from a trusted source.
type clusterIdentity struct {
	Cluster string   `json:"cluster"` // name; empty if the source does not know it
	Keys    []string `json:"keys"`    // public keys; an entry in Redis is valid if one of them verifies it
}

// publicKeys returns the handler of ClusterPath.
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
		_ = json.NewEncoder(w).Encode(clusterIdentity{a.Cluster, a.Ring.Public()}) // the caller may be gone
	})
}

// keySource reads the public keys of a cluster for a gateway. It must not be Redis, which the keys protect against.
type keySource interface {
	read(ctx context.Context) (clusterIdentity, error)
	close() error
}

// errNoKeySource lists the flags that give a gateway the public keys of its cluster.
var errNoKeySource = errors.New("--redis-url: entries in Redis are valid only with the signature of a node: give --cluster-keys (`esh3ar keys list` " +
	"prints them), or --nodes (they are asked for the keys), or --database-url")

// keySource returns the source that the flags name.
func (c *GatewayConfig) keySource(ctx context.Context, log *slog.Logger) (keySource, error) {
	switch {
	case len(c.ClusterKeys) > 0:
		return fixedKeys(c.ClusterKeys), nil
	case c.DatabaseURL != "":
		return openKeyDatabase(ctx, c.DatabaseURL, log)
	case len(c.Nodes) > 0:
		return &nodeKeys{urls: c.Nodes}, nil
	}
	return nil, usage.Wrap(errNoKeySource)
}

// fixedKeys are the keys of --cluster-keys.
type fixedKeys []string

func (f fixedKeys) read(context.Context) (clusterIdentity, error) {
	return clusterIdentity{Keys: f}, nil
}
func (fixedKeys) close() error { return nil }

// nodeKeys are the nodes of --nodes. The operator named them, so their keys are trusted.
type nodeKeys struct{ urls []string }

// keyAnswer bounds the response of a node, in bytes.
const keyAnswer = 64 << 10

func (a *nodeKeys) read(ctx context.Context) (clusterIdentity, error) {
	var word clusterIdentity
	var err error
	for _, url := range a.urls {
		if word, err = readNodeKeys(ctx, url); err == nil {
			return word, nil
		}
	}
	return word, err
}

func readNodeKeys(ctx context.Context, url string) (clusterIdentity, error) {
	var word clusterIdentity
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

func (*nodeKeys) close() error { return nil }

// keyDatabase reads the keys from the PostgreSQL of the cluster.
type keyDatabase struct{ store *postgres.Store }

func openKeyDatabase(ctx context.Context, url string, log *slog.Logger) (*keyDatabase, error) {
	store, err := OpenPostgres(ctx, url, postgres.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return &keyDatabase{store}, nil
}

func (d *keyDatabase) read(ctx context.Context) (clusterIdentity, error) {
	var word clusterIdentity
	var err error
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

// Pauses between two reads of the source. A rotated key signs only some seconds after it was created, so readers know it by then.
const (
	keysEvery = 5 * time.Second
	keysAgain = time.Second // after a failed read
)

// clusterKeys are the public keys of a cluster, read periodically.
type clusterKeys struct {
	keyring.PublicKeys
	source keySource
	next   time.Time // when the source is read again
}

// refresh reads the source if the pause has passed, and returns the name of the cluster that it gives.
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
