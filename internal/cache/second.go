package cache

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// shelf is a cache's part of the second level.
type shelf[V any] struct {
	shared *Shared
	name   string
	second Second[V]
	jitter float64
	hits   *hits
}

// stored is a value of the second level that counts.
type stored[V any] struct {
	Entry[V]
	ends time.Time
}

// stamp is what the generations were before the source was asked. The zero stamp knows nothing: what is loaded then does
// not go to the level.
type stamp struct {
	of map[string]string // by their keys in the level; one that is not here was not asked for
}

// The keys of the level. Names of caches have no colon, so no two of these meet.
func valueKey(cache, name string) string { return cache + ":v:" + name }
func keyOf(cache, name string) string    { return cache + ":k:" + name } // the generation of one key
func tagOf(cache, tag string) string     { return cache + ":t:" + tag }  // the generation of one tag
func clockOf(cache string) string        { return cache + ":clock" }
func wholeOf(cache string) string        { return cache + ":all" } // the generation of the whole cache

// newGeneration has 128 random bits: none comes twice. A missing one is a generation too, the empty one.
func newGeneration() []byte { return []byte(rand.Text()) }

// look asks for entries; nil: the level has none that counts. found is nil where it cannot be asked. Values come first, so
// that the generations of their tags are known to be needed, and that all generations are at least as new as the values.
func (s *shelf[V]) look(ctx context.Context, names []string, now time.Time) (found []*stored[V], before stamp) {
	if s.shared.owes(s.name) {
		return nil, stamp{}
	}
	found, envelopes, err := s.values(ctx, names, now)
	if err != nil {
		return nil, stamp{}
	}
	needed := map[string]bool{clockOf(s.name): true, wholeOf(s.name): true}
	for i, name := range names {
		for _, key := range s.above(name, envelopes[i].tags) {
			needed[key] = true
		}
	}
	if before.of = s.generations(ctx, needed); before.of == nil {
		return nil, stamp{}
	}
	for i, name := range names {
		if found[i] == nil || !s.counts(name, &envelopes[i], before.of) {
			found[i] = nil
			s.hits.misses.Add(1)
			continue
		}
		s.hits.hits.Add(1)
	}
	return found, before
}

// values reads those that have not ended.
func (s *shelf[V]) values(ctx context.Context, names []string, now time.Time) ([]*stored[V], []envelope, error) {
	found, envelopes := make([]*stored[V], len(names)), make([]envelope, len(names))
	if len(names) == 0 {
		return found, envelopes, nil
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = valueKey(s.name, name)
	}
	raw, err := s.shared.get(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	for i := range raw {
		e, err := parseEnvelope(raw[i])
		if err != nil || !now.Before(e.ends) {
			continue
		}
		value := stored[V]{Entry: Entry[V]{Found: e.found, Tags: e.tags}, ends: e.ends}
		if e.found {
			value.Value, err = s.second.Decode(e.value)
		}
		if err == nil {
			found[i], envelopes[i] = &value, e
		}
	}
	return found, envelopes, nil
}

// counts tells whether a value lies under the generations that are in force.
func (s *shelf[V]) counts(name string, e *envelope, of map[string]string) bool {
	for i, key := range s.above(name, e.tags) {
		if of[key] != e.of[i] {
			return false
		}
	}
	return true
}

// generations reads some; nil, if it cannot.
func (s *shelf[V]) generations(ctx context.Context, keys map[string]bool) map[string]string {
	if len(keys) == 0 {
		return nil
	}
	list := slices.Collect(maps.Keys(keys))
	raw, err := s.shared.current(ctx, list)
	if err != nil {
		return nil
	}
	of := make(map[string]string, len(list))
	for i, key := range list {
		of[key] = string(raw[i])
	}
	return of
}

// keep stores what was loaded after asked, under the generations of before.
func (s *shelf[V]) keep(ctx context.Context, before stamp, names []string, entries []Entry[V], asked, now time.Time) {
	if before.of == nil || s.shared.owes(s.name) {
		return
	}
	of := s.complete(ctx, before, names, entries)
	var keys []string
	var values [][]byte
	var ttls []time.Duration
	for i, name := range names {
		ends := asked.Add(jittered(s.ttl(entries[i]), s.jitter)) // zero TTL: ended already
		e, known := s.seal(name, entries[i], of)
		if left := ends.Sub(now).Truncate(time.Millisecond); known && left > 0 {
			e.ends = ends
			keys, values, ttls = append(keys, valueKey(s.name, name)), append(values, e.append(nil)), append(ttls, left)
		}
	}
	if len(keys) > 0 {
		_ = s.shared.set(ctx, keys, values, ttls) // counted there; it is loaded again by who needs it
	}
}

func (s *shelf[V]) ttl(e Entry[V]) time.Duration {
	if e.Found {
		return s.second.TTL
	}
	return s.second.MissTTL
}

// complete adds the generations that before did not ask for. Those read now are still those of before, if the clock, read
// after them, is still the one of before.
func (s *shelf[V]) complete(ctx context.Context, before stamp, names []string, entries []Entry[V]) map[string]string {
	lacking := map[string]bool{}
	for i, name := range names {
		for _, key := range s.above(name, entries[i].Tags) {
			if _, known := before.of[key]; !known {
				lacking[key] = true
			}
		}
	}
	later := s.generations(ctx, lacking)
	if later == nil {
		return before.of
	}
	clock, known := s.generations(ctx, map[string]bool{clockOf(s.name): true})[clockOf(s.name)]
	if !known || clock != before.of[clockOf(s.name)] {
		return before.of
	}
	maps.Copy(later, before.of)
	return later
}

// above names the generations that an entry is under: the cache's, its key's, and then its tags' in their order.
func (s *shelf[V]) above(name string, tags []string) []string {
	keys := []string{wholeOf(s.name), keyOf(s.name, name)}
	for _, tag := range tags {
		keys = append(keys, tagOf(s.name, tag))
	}
	return keys
}

// seal puts an entry under its generations; false: not all of them are known.
func (s *shelf[V]) seal(name string, entry Entry[V], of map[string]string) (e envelope, known bool) {
	e = envelope{found: entry.Found, tags: entry.Tags}
	for _, key := range s.above(name, entry.Tags) {
		generation, known := of[key]
		if !known {
			return e, false
		}
		e.of = append(e.of, generation)
	}
	if entry.Found {
		e.value = s.second.Encode(nil, entry.Value)
	}
	return e, true
}
