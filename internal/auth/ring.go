package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// settingRing is the setting with the key ring of the store. Its first key is the one that stores had before key rings.
const settingRing = "signing-keys"

// SignsAfter is the delay before a new key signs. Every node has read it by then.
const SignsAfter = 10 * time.Second

// storedKey is a key of the ring in the store. Different versions of the program share it, so fields may only be added.
type storedKey struct {
	Secret    []byte      `json:"secret"`
	CreatedAt esh3ar.Time `json:"createdAt"`
	SignsFrom esh3ar.Time `json:"signsFrom"`
	EndsAt    esh3ar.Time `json:"endsAt"`
}

type storedRing struct {
	Keys []storedKey `json:"keys"`
}

func encodeRing(keys []keyring.Key) []byte {
	stored := make([]storedKey, len(keys))
	for i, k := range keys {
		stored[i] = storedKey(k)
	}
	text, err := json.Marshal(storedRing{stored})
	if err != nil {
		panic("encode key ring: " + err.Error())
	}
	return text
}

func decodeRing(text []byte) ([]keyring.Key, error) {
	var stored storedRing
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("the store's setting %s is damaged: %w", settingRing, err)
	}
	keys := make([]keyring.Key, len(stored.Keys))
	for i, k := range stored.Keys {
		keys[i] = keyring.Key(k)
	}
	return keys, nil
}

// ringStore is the part of the store that reads of the ring use.
type ringStore interface {
	Setting(ctx context.Context, name string) ([]byte, error)
	InitSetting(ctx context.Context, name string, value []byte) ([]byte, error)
}

// swapStore is ringStore with the operation that changes need.
type swapStore interface {
	ringStore
	SwapSetting(ctx context.Context, name string, old, value []byte) error
}

// readRing reads the ring of a store, and creates it if there is none.
func readRing(ctx context.Context, store ringStore) (text []byte, keys []keyring.Key, err error) {
	text, err = store.Setting(ctx, settingRing)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		var first []byte
		if first, err = store.InitSetting(ctx, settingSigningKey, keyring.NewSecret()); err != nil {
			return nil, nil, err
		}
		text, err = store.InitSetting(ctx, settingRing, encodeRing([]keyring.Key{{Secret: first}}))
	}
	if err != nil {
		return nil, nil, err
	}
	keys, err = decodeRing(text)
	return text, keys, err
}

// RingOf returns the key ring of a store, for processes that are not nodes; now is the clock.
func RingOf(ctx context.Context, store ringStore, now func() time.Time) (*keyring.Ring, error) {
	_, keys, err := readRing(ctx, store)
	if err != nil {
		return nil, err
	}
	return keyring.New(now, keys...)
}

// errLastKey is returned by an attempt to end the only key that can sign.
var errLastKey = esh3ar.Errorf(esh3ar.InUse, "this key signs; make another one first, or make one that ends all others")

// changeRing applies a change to the ring in the store. Concurrent changes by several nodes are serialised by retries.
func changeRing(ctx context.Context, store swapStore, change func([]keyring.Key) ([]keyring.Key, error)) ([]keyring.Key, error) {
	const tries = 10
	for range tries {
		old, keys, err := readRing(ctx, store)
		if err != nil {
			return nil, err
		}
		if keys, err = change(keys); err != nil {
			return nil, err
		}
		if err = store.SwapSetting(ctx, settingRing, old, encodeRing(keys)); err == nil {
			return keys, nil
		}
		if esh3ar.CodeOf(err) != esh3ar.InUse {
			return nil, err
		}
	}
	return nil, esh3ar.Errorf(esh3ar.Overloaded, "the key ring was changed concurrently too often; try again")
}

// RotateKeys adds a key to the ring of a store. It signs after SignsAfter. The other keys verify until the last token they
// may have signed has expired. With endOthers, they end at once, the new key signs at once, and every token is void.
func RotateKeys(ctx context.Context, store swapStore, now time.Time, endOthers bool) ([]keyring.Key, error) {
	return changeRing(ctx, store, func(keys []keyring.Key) ([]keyring.Key, error) {
		made := keyring.Key{Secret: keyring.NewSecret(), CreatedAt: esh3ar.TimeOf(now), SignsFrom: esh3ar.TimeOf(now.Add(SignsAfter))}
		ends := made.SignsFrom.Add(MaxTokenTTL)
		if endOthers {
			made.SignsFrom, ends = made.CreatedAt, made.CreatedAt
		}
		var kept []keyring.Key
		for _, k := range keys {
			if k.EndsAt.IsZero() || k.EndsAt > ends {
				k.EndsAt = ends
			}
			if k.EndsAt > made.CreatedAt {
				kept = append(kept, k)
			}
		}
		if len(kept) >= maxKeys {
			return nil, esh3ar.Errorf(esh3ar.Overloaded, "the ring has %d keys; end some of them first", len(kept))
		}
		return append(kept, made), nil
	})
}

// maxKeys bounds the ring. A registry entry carries a signature per key.
const maxKeys = 16

// EndKey ends a key of the ring of a store at once, by its id. All tokens it has signed are void.
func EndKey(ctx context.Context, store swapStore, now time.Time, id string) ([]keyring.Key, error) {
	return changeRing(ctx, store, func(keys []keyring.Key) ([]keyring.Key, error) {
		var kept []keyring.Key
		for _, k := range keys {
			if k.ID() != id {
				kept = append(kept, k)
			}
		}
		if len(kept) == len(keys) {
			return nil, esh3ar.Errorf(esh3ar.NotFound, "no signing key %s", id)
		}
		for _, k := range kept {
			if k.SignsFrom <= esh3ar.TimeOf(now) && (k.EndsAt.IsZero() || k.EndsAt > esh3ar.TimeOf(now)) {
				return kept, nil
			}
		}
		return nil, errLastKey
	})
}
