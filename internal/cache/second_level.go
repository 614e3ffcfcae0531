package cache

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// namespace is the part of the second level that belongs to one cache.
type namespace[V any] struct {
	shared *Shared
	name   string
	second Second[V]
	jitter float64
	hits   *hits
}

// secondEntry is a valid value of the second level.
type secondEntry[V any] struct {
	Entry[V]
	expiresAt time.Time
}

// generationSet holds the generations as they were before the source was asked. Nothing that is loaded under the zero set is stored
// in the level.
type generationSet struct {
	byKey map[string]string // by their keys in the level; generations that were not read are missing
}

// Keys of the level. Names of caches contain no colon, so keys of different kinds or caches never collide.
func valueKey(cache, name string) string         { return cache + ":v:" + name }
func keyGenerationKey(cache, name string) string { return cache + ":k:" + name } // generation of one key
func tagGenerationKey(cache, tag string) string  { return cache + ":t:" + tag }  // generation of one tag
func clockKey(cache string) string               { return cache + ":clock" }
func cacheGenerationKey(cache string) string     { return cache + ":all" } // generation of the whole cache

// newGeneration returns 128 random bits, so that no generation occurs twice. A missing generation counts as the empty one.
func newGeneration() []byte { return []byte(rand.Text()) }

// lookUp reads entries; an element is nil if the level has no valid value. found is nil if the level cannot be read. Values are
// read first, because their tags decide which generations are needed, and because all generations are then at least as new as the
// values.
func (s *namespace[V]) lookUp(ctx context.Context, names []string, now time.Time) (found []*secondEntry[V], before generationSet) {
	if s.shared.hasPending(s.name) {
		return nil, generationSet{}
	}
	found, envelopes, err := s.values(ctx, names, now)
	if err != nil {
		return nil, generationSet{}
	}
	needed := map[string]bool{clockKey(s.name): true, cacheGenerationKey(s.name): true}
	for i, name := range names {
		for _, key := range s.generationKeys(name, envelopes[i].tags) {
			needed[key] = true
		}
	}
	before.byKey = s.generations(ctx, needed)
	if before.byKey == nil {
		return nil, generationSet{}
	}
	for i, name := range names {
		if found[i] == nil || !s.valid(name, &envelopes[i], before.byKey) {
			found[i] = nil
			s.hits.misses.Add(1)
			continue
		}
		s.hits.hits.Add(1)
	}
	return found, before
}

// values reads and decodes the values that have not expired.
func (s *namespace[V]) values(ctx context.Context, names []string, now time.Time) ([]*secondEntry[V], []envelope, error) {
	found, envelopes := make([]*secondEntry[V], len(names)), make([]envelope, len(names))
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
		if err != nil || !now.Before(e.expiresAt) {
			continue
		}
		value := secondEntry[V]{Entry: Entry[V]{Found: e.found, Tags: e.tags}, expiresAt: e.expiresAt}
		if e.found {
			value.Value, err = s.second.Decode(e.value)
		}
		if err == nil {
			found[i], envelopes[i] = &value, e
		}
	}
	return found, envelopes, nil
}

// valid reports whether a value was stored under the current generations.
func (s *namespace[V]) valid(name string, e *envelope, of map[string]string) bool {
	for i, key := range s.generationKeys(name, e.tags) {
		if of[key] != e.generations[i] {
			return false
		}
	}
	return true
}

// generations reads the generations of keys. It returns nil on failure.
func (s *namespace[V]) generations(ctx context.Context, keys map[string]bool) map[string]string {
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

// store writes entries that were loaded after askedAt, under the generations in before.
func (s *namespace[V]) store(ctx context.Context, before generationSet, names []string, entries []Entry[V], asked, now time.Time) {
	if before.byKey == nil || s.shared.hasPending(s.name) {
		return
	}
	of := s.completeGenerations(ctx, before, names, entries)
	var keys []string
	var values [][]byte
	var ttls []time.Duration
	for i, name := range names {
		ends := asked.Add(jittered(s.ttl(entries[i]), s.jitter)) // with a zero TTL it has already expired
		e, known := s.envelope(name, entries[i], of)
		if left := ends.Sub(now).Truncate(time.Millisecond); known && left > 0 {
			e.expiresAt = ends
			keys = append(keys, valueKey(s.name, name))
			values = append(values, e.append(nil))
			ttls = append(ttls, left)
		}
	}
	if len(keys) > 0 {
		_ = s.shared.set(ctx, keys, values, ttls) // the error is counted; the next caller loads the value again
	}
}

func (s *namespace[V]) ttl(e Entry[V]) time.Duration {
	if e.Found {
		return s.second.TTL
	}
	return s.second.MissTTL
}

// completeGenerations adds the generations that are missing in before, because tags are only known after the load. A generation
// read now is the one before the load if the clock, read afterwards, still equals the clock in before.
func (s *namespace[V]) completeGenerations(ctx context.Context, before generationSet, names []string, entries []Entry[V]) map[string]string {
	lacking := map[string]bool{}
	for i, name := range names {
		for _, key := range s.generationKeys(name, entries[i].Tags) {
			if _, known := before.byKey[key]; !known {
				lacking[key] = true
			}
		}
	}
	later := s.generations(ctx, lacking)
	if later == nil {
		return before.byKey
	}
	clock, known := s.generations(ctx, map[string]bool{clockKey(s.name): true})[clockKey(s.name)]
	if !known || clock != before.byKey[clockKey(s.name)] {
		return before.byKey
	}
	maps.Copy(later, before.byKey)
	return later
}

// generationKeys returns the keys of the generations of an entry: of the cache, of its key, and of its tags in their order.
func (s *namespace[V]) generationKeys(name string, tags []string) []string {
	keys := []string{cacheGenerationKey(s.name), keyGenerationKey(s.name, name)}
	for _, tag := range tags {
		keys = append(keys, tagGenerationKey(s.name, tag))
	}
	return keys
}

// envelope wraps an entry with its generations. known is false if not all of them are known.
func (s *namespace[V]) envelope(name string, entry Entry[V], of map[string]string) (e envelope, known bool) {
	e = envelope{found: entry.Found, tags: entry.Tags}
	for _, key := range s.generationKeys(name, entry.Tags) {
		generation, known := of[key]
		if !known {
			return e, false
		}
		e.generations = append(e.generations, generation)
	}
	if entry.Found {
		e.value = s.second.Encode(nil, entry.Value)
	}
	return e, true
}
