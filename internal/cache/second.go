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
	counts *hits
}

// stored is a value of the second level that counts.
type stored[V any] struct {
	Entry[V]
	ends time.Time
}

// stamp is what the generations were before the source was asked. The zero stamp knows nothing: what is loaded then does
// not go to the level.
type stamp struct {
	read  bool
	clock string
	of    map[string]string // by their keys in the level; one that is not here was not asked for
}

// The keys of the level. Names of caches have no colon, so no two of these meet.
func valueKey(cache, name string) string { return cache + ":v:" + name }
func keyOf(cache, name string) string    { return cache + ":k:" + name } // the generation of one key
func tagOf(cache, tag string) string     { return cache + ":t:" + tag }  // the generation of one tag
func clockOf(cache string) string        { return cache + ":clock" }
func wholeOf(cache string) string        { return cache + ":all" } // the generation of the whole cache

// newGeneration has 128 random bits: none comes twice. A missing one is a generation too, the empty one.
func newGeneration() []byte { return []byte(rand.Text()) }

// look asks for entries; nil: the level has none that counts. found is nil where it cannot be asked.
func (s *shelf[V]) look(ctx context.Context, names []string, now time.Time) (found []*stored[V], before stamp) {
	if s.shared.owes(s.name) {
		return nil, stamp{}
	}
	keys := []string{clockOf(s.name), wholeOf(s.name)}
	for _, name := range names {
		keys = append(keys, keyOf(s.name, name))
	}
	generations := len(keys)
	for _, name := range names {
		keys = append(keys, valueKey(s.name, name))
	}
	raw, err := s.shared.get(ctx, keys)
	if err != nil {
		return nil, stamp{}
	}
	before = stamp{read: true, clock: string(raw[0]), of: map[string]string{}}
	for i, key := range keys[1:generations] {
		before.of[key] = string(raw[1+i])
	}
	found = s.judge(ctx, names, raw[generations:], before, now)
	s.count(found)
	return found, before
}

func (s *shelf[V]) count(found []*stored[V]) {
	for _, hit := range found {
		if hit != nil {
			s.counts.hits.Add(1)
		} else {
			s.counts.misses.Add(1)
		}
	}
}

// judge tells which values count: those under the generations that are in force.
func (s *shelf[V]) judge(ctx context.Context, names []string, raw [][]byte, current stamp, now time.Time) []*stored[V] {
	found, envelopes := make([]*stored[V], len(raw)), make([]envelope, len(raw))
	tags := map[string]bool{}
	for i := range raw {
		e, err := parseEnvelope(raw[i])
		if err != nil || !now.Before(e.ends) || e.whole != current.of[wholeOf(s.name)] || e.key != current.of[keyOf(s.name, names[i])] {
			continue
		}
		value := stored[V]{Entry: Entry[V]{Found: e.found, Tags: e.tags}, ends: e.ends}
		if e.found {
			value.Value, err = s.second.Decode(e.value)
		}
		if err != nil {
			continue
		}
		found[i], envelopes[i] = &value, e
		for _, tag := range e.tags {
			tags[tagOf(s.name, tag)] = true
		}
	}
	generations := s.generations(ctx, tags)
	for i := range found {
		for j, tag := range envelopes[i].tags {
			if now, known := generations[tagOf(s.name, tag)]; !known || now != envelopes[i].of[j] {
				found[i] = nil
			}
		}
	}
	return found
}

// generations reads some; nil, if it cannot.
func (s *shelf[V]) generations(ctx context.Context, keys map[string]bool) map[string]string {
	if len(keys) == 0 {
		return nil
	}
	list := slices.Collect(maps.Keys(keys))
	raw, err := s.shared.get(ctx, list)
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
	if !before.read || s.shared.owes(s.name) {
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
	if !known || clock != before.clock {
		return before.of
	}
	maps.Copy(later, before.of)
	return later
}

// above names the generations that an entry is under.
func (s *shelf[V]) above(name string, tags []string) []string {
	keys := []string{wholeOf(s.name), keyOf(s.name, name)}
	for _, tag := range tags {
		keys = append(keys, tagOf(s.name, tag))
	}
	return keys
}

// seal puts an entry under its generations; false: not all of them are known.
func (s *shelf[V]) seal(name string, entry Entry[V], of map[string]string) (e envelope, known bool) {
	var generations []string
	for _, key := range s.above(name, entry.Tags) {
		generation, known := of[key]
		if !known {
			return e, false
		}
		generations = append(generations, generation)
	}
	e = envelope{found: entry.Found, whole: generations[0], key: generations[1], tags: entry.Tags, of: generations[2:]}
	if entry.Found {
		e.value = s.second.Encode(nil, entry.Value)
	}
	return e, true
}
