package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

func neighbourAttacks() []Attack {
	return []Attack{
		{"made-up nodes in the registry", Neighbour, madeUpNodes, false},
		{"garbage in the channels", Neighbour, garbageChannels, false},
		{"keys of another type", Neighbour, otherTypes, false},
	}
}

// registries returns the prefixes of the registries that Redis holds.
func (v *Victim) registries(ctx context.Context) (prefixes []string) {
	for _, key := range v.keys(ctx) {
		if prefix, ok := strings.CutSuffix(key, "{nodes}:word"); ok {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

func (v *Victim) keys(ctx context.Context) (keys []string) {
	answer, err := v.Redis(ctx, "KEYS", "esh3ar:*")
	if err != nil {
		return nil
	}
	list, _ := answer.([]any) // nil: none
	for _, key := range list {
		if text, ok := key.(string); ok {
			keys = append(keys, text)
		}
	}
	return keys
}

// do sends a command whose answer does not matter.
func (v *Victim) do(ctx context.Context, args ...string) { _, _ = v.Redis(ctx, args...) }

// madeUpNodes announces nodes that lead to the attacker, under new names and under those of nodes that exist.
func madeUpNodes(ctx context.Context, v *Victim) {
	until := func() string { return fmt.Sprint(time.Now().Add(30 * time.Second).UnixMilli()) }
	for pause(ctx, 100*time.Millisecond) {
		for _, prefix := range v.registries(ctx) {
			names := []string{"made-up"}
			if answer, err := v.Redis(ctx, "HKEYS", prefix+"{nodes}:word"); err == nil {
				list, _ := answer.([]any) // nil: none
				for _, name := range list {
					names = append(names, fmt.Sprint(name))
				}
			}
			slices.Sort(names)
			for i, name := range names {
				word := []string{`{"url":"` + v.URL + `","state":"ready"}`, `{"ID":"x","URL":"` + v.URL + `"}`, "\x00", `{"URL":7}`}[i%4]
				v.do(ctx, "ZADD", prefix+"{nodes}:until", until(), name)
				v.do(ctx, "HSET", prefix+"{nodes}:word", name, word)
			}
		}
	}
}

// garbageChannels publishes bytes in every channel that nodes listen to.
func garbageChannels(ctx context.Context, v *Victim) {
	texts := []string{"", "\x00", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\x05\x01\x00\x00\x00\x00", strings.Repeat("\xff", 100_000), "{}", "*"}
	for i := 0; pause(ctx, 10*time.Millisecond); i++ {
		for _, kind := range []string{"SHARDCHANNELS", "CHANNELS"} {
			answer, err := v.Redis(ctx, "PUBSUB", kind, "*")
			if err != nil {
				continue
			}
			list, _ := answer.([]any) // nil: none
			for _, channel := range list {
				v.do(ctx, map[string]string{"SHARDCHANNELS": "SPUBLISH", "CHANNELS": "PUBLISH"}[kind], fmt.Sprint(channel), texts[i%len(texts)])
			}
		}
	}
}

// otherTypes replaces keys by values of another type.
func otherTypes(ctx context.Context, v *Victim) {
	for pause(ctx, 200*time.Millisecond) {
		for i, key := range v.keys(ctx) {
			v.do(ctx, "DEL", key)
			if i%2 == 0 {
				v.do(ctx, "SET", key, "\xff\x00garbage")
			} else {
				v.do(ctx, "RPUSH", key, "1")
			}
			v.do(ctx, "PEXPIRE", key, "500")
		}
	}
}
