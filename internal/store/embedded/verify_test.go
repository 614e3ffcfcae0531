package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// fixture is a store with a message in every state, whose rows a test damages.
type fixture struct {
	*testing.T
	*Store
	now                                                 esh3ar.Time
	business                                            esh3ar.BusinessID
	undelivered, scheduled, expiring, failed, delivered esh3ar.MessageID
}

const testRecipient = esh3ar.Recipient(967770000001)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	p := &fixture{T: t, business: esh3ar.NewBusinessID(), now: esh3ar.TimeOf(time.Now())}
	var err error
	if p.Store, err = Open("data", Options{FS: vfs.NewMem(), SettleLinger: time.Microsecond, Now: func() time.Time { return p.now.Time() }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.CreateBusiness(t.Context(), esh3ar.Business{ID: p.business, Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateKey(t.Context(), esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: p.business, Hash: esh3ar.KeyHash{1}}); err != nil {
		t.Fatal(err)
	}
	p.undelivered = p.append(func(*esh3ar.Message) {})
	p.scheduled = p.append(func(m *esh3ar.Message) { m.SendAt = m.CreatedAt().Add(time.Hour) })
	p.expiring = p.append(func(m *esh3ar.Message) { m.TTL, m.ExpiresAt = time.Hour, m.CreatedAt().Add(time.Hour) })
	p.failed, p.delivered = p.append(func(*esh3ar.Message) {}), p.append(func(*esh3ar.Message) {})
	p.settleTo(p.failed, esh3ar.Sent, esh3ar.Failed)
	p.settleTo(p.delivered, esh3ar.Sent, esh3ar.Delivered)
	return p
}

func (p *fixture) append(change func(*esh3ar.Message)) esh3ar.MessageID {
	p.Helper()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: p.business, Recipient: testRecipient, Priority: esh3ar.Normal, Content: "x"}
	change(m)
	key := &esh3ar.IdempotencyKey{Key: m.ID.String(), ExpiresAt: p.now.Add(24 * time.Hour)}
	if _, err := p.Append(p.Context(), []*esh3ar.Call{{Business: p.business, Key: key, Messages: []*esh3ar.Message{m}}}); err != nil {
		p.Fatal(err)
	}
	return m.ID
}

func (p *fixture) settleTo(id esh3ar.MessageID, statuses ...esh3ar.Status) {
	p.Helper()
	for _, s := range statuses {
		if _, err := p.Settle(p.Context(), []esh3ar.Change{{Message: id, Recipient: testRecipient, To: s, At: p.now}}); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *fixture) verify(repair bool) ([]esh3ar.Finding, esh3ar.VerifyReport) {
	var found []esh3ar.Finding
	p.Helper()
	survey, err := p.Verify(p.Context(), repair, func(f esh3ar.Finding) { found = append(found, f) })
	if err != nil {
		p.Fatal(err)
	}
	if survey.Findings != len(found) {
		p.Errorf("survey counts %d findings, got %d", survey.Findings, len(found))
	}
	return found, survey
}

// rows returns the keys of a row type.
func (p *fixture) rows(kind byte) (keys [][]byte) {
	p.Helper()
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		p.Fatal(err)
	}
	defer it.Close()
	for valid := it.First(); valid; valid = it.Next() {
		keys = append(keys, slices.Clone(it.Key()))
	}
	return keys
}

func (p *fixture) drop(key []byte) {
	p.Helper()
	if err := p.db.Delete(key, pebble.Sync); err != nil {
		p.Fatal(err)
	}
}

func (p *fixture) put(key, row []byte) {
	p.Helper()
	if err := p.db.Set(key, row, pebble.Sync); err != nil {
		p.Fatal(err)
	}
}

func (p *fixture) location(id esh3ar.MessageID) location {
	p.Helper()
	where, ok, err := readLocation(p.db, id)
	if err != nil || !ok {
		p.Fatal(err)
	}
	return where
}

func (p *fixture) bodyKey(id esh3ar.MessageID) []byte {
	where := p.location(id)
	return appendBodyKey(nil, where.recipient, where.seq, id)
}

// damageCases are the kinds of damage, by the name of the check that must find them.
var damageCases = map[string]struct {
	plant  func(p *fixture)
	action string
}{
	"body_damaged": {func(p *fixture) { p.put(p.bodyKey(p.undelivered), []byte{9}) }, esh3ar.SetAside},
	"body_missing": {func(p *fixture) { p.drop(p.bodyKey(p.undelivered)) }, esh3ar.SetAside},
	"body_twice":   {func(p *fixture) { p.copyBody() }, esh3ar.SetAside},
	"id_missing":   {func(p *fixture) { p.drop(appendID(nil, p.undelivered)) }, esh3ar.Mended},
	"id_damaged":   {func(p *fixture) { p.put(appendID(nil, esh3ar.NewMessageID()), []byte{9}) }, esh3ar.SetAside},
	"id_wrong": {func(p *fixture) {
		w := p.location(p.undelivered)
		w.seq = 99
		p.put(appendID(nil, p.undelivered), w.append(nil))
	}, esh3ar.Mended},
	"steps_damaged": {func(p *fixture) {
		p.put(appendRecipientSeq(nil, stepsKey, testRecipient, p.location(p.undelivered).seq), nil)
	}, esh3ar.SetAside},
	"steps_orphaned": {func(p *fixture) { p.put(appendRecipientSeq(nil, stepsKey, testRecipient, 77), []byte{rowFormat, 0, 0}) }, esh3ar.SetAside},
	"steps_illegal":  {func(p *fixture) { p.reverseSteps() }, esh3ar.Reported},
	"undelivered_missing": {func(p *fixture) {
		p.drop(appendUndelivered(nil, testRecipient, esh3ar.Normal, p.location(p.undelivered).seq))
	}, esh3ar.Mended},
	"undelivered_stale": {func(p *fixture) {
		p.put(appendUndelivered(nil, testRecipient, esh3ar.Normal, p.location(p.delivered).seq), nil)
	}, esh3ar.SetAside},
	"undelivered_damaged": {func(p *fixture) { p.put([]byte{undeliveredKey, 1}, nil) }, esh3ar.SetAside},
	"list_missing":        {func(p *fixture) { p.drop(appendList(nil, p.business, p.undelivered)) }, esh3ar.Mended},
	"list_stale":          {func(p *fixture) { p.put(appendList(nil, p.business, p.undelivered), make([]byte, 16)) }, esh3ar.Mended},
	"list_damaged":        {func(p *fixture) { p.put(appendList(nil, p.business, esh3ar.NewMessageID()), []byte{9}) }, esh3ar.SetAside},
	"counter_low":         {func(p *fixture) { p.put(appendCounter(nil, testRecipient), appendUint64(nil, 1)) }, esh3ar.Mended},
	"counter_damaged":     {func(p *fixture) { p.put(appendCounter(nil, testRecipient+1), []byte{9}) }, esh3ar.Reported},
	"dead_letter_missing": {func(p *fixture) { p.drop(p.rows(deadLetterKey)[0]) }, esh3ar.Mended},
	"dead_letter_stale":   {func(p *fixture) { p.put(appendDeadLetter(nil, p.business, 5, p.undelivered), deadLetterRow(false)) }, esh3ar.SetAside},
	"dead_letter_damaged": {func(p *fixture) { p.put([]byte{deadLetterKey, 1}, nil) }, esh3ar.SetAside},
	"task_missing":        {func(p *fixture) { p.drop(p.rows(taskKey)[0]) }, esh3ar.Mended},
	"task_orphaned": {func(p *fixture) {
		p.put(appendTask(nil, 5, esh3ar.ExpireTask, esh3ar.NewMessageID()), appendTaskRow(nil, 1, testRecipient))
	}, esh3ar.SetAside},
	"task_damaged":     {func(p *fixture) { p.put([]byte{taskKey, 1}, nil) }, esh3ar.SetAside},
	"key_damaged":      {func(p *fixture) { p.put(p.rows(idemKey)[0], []byte{9}) }, esh3ar.SetAside},
	"key_misplaced":    {func(p *fixture) { p.moveKey() }, esh3ar.SetAside},
	"event_damaged":    {func(p *fixture) { p.put(appendEvent(nil, 1<<40), []byte{9}) }, esh3ar.SetAside},
	"event_wrong":      {func(p *fixture) { p.forgeEvent() }, esh3ar.SetAside},
	"event_missing":    {func(p *fixture) { keys := p.rows(eventKey); p.drop(keys[len(keys)-2]) }, esh3ar.Mended},
	"event_twice":      {func(p *fixture) { p.copyEvent() }, esh3ar.Reported},
	"trimmed_damaged":  {func(p *fixture) { p.put([]byte{trimmedKey}, []byte{9}) }, esh3ar.Reported},
	"unknown_row":      {func(p *fixture) { p.put([]byte("Z?"), nil) }, esh3ar.SetAside},
	"business_damaged": {func(p *fixture) { p.put(appendBusiness(nil, esh3ar.NewBusinessID()), []byte("{")) }, esh3ar.Reported},
	"plan_damaged":     {func(p *fixture) { p.put(appendPlan(nil, "gold"), []byte("{")) }, esh3ar.Reported},
	"usage_damaged":    {func(p *fixture) { p.put(appendUsage(nil, esh3ar.NewBusinessID(), 20_000), []byte{9}) }, esh3ar.SetAside},
	"api_key_damaged":  {func(p *fixture) { p.put(appendAPIKey(nil, esh3ar.KeyHash{2}), []byte("{")) }, esh3ar.Reported},
	"api_key_unlisted": {func(p *fixture) { p.drop(p.rows(keyIndexKey)[0]) }, esh3ar.Mended},
	"api_key_missing":  {func(p *fixture) { p.drop(p.rows(apiKeyKey)[0]) }, esh3ar.SetAside},
}

func (p *fixture) row(key []byte) []byte {
	p.Helper()
	row, err := getRow(p.db, key)
	if err != nil {
		p.Fatal(err)
	}
	return row
}

func (p *fixture) copyBody() {
	p.put(appendRecipientSeq(nil, bodyKey, testRecipient, 4_000), p.row(p.bodyKey(p.undelivered)))
	p.put(appendUndelivered(nil, testRecipient, esh3ar.Normal, 4_000), nil)
}

func (p *fixture) reverseSteps() {
	done := lifecycle.First(p.delivered, false)
	done.List = append(done.List, lifecycle.Step{Life: 1, Status: esh3ar.Delivered, At: p.now}, lifecycle.Step{Life: 1, Status: esh3ar.Sent, At: p.now})
	where := p.location(p.delivered)
	p.put(appendRecipientSeq(nil, stepsKey, testRecipient, where.seq), done.Append(nil))
	p.put(appendUndelivered(nil, testRecipient, esh3ar.Normal, where.seq), nil)
}

func (p *fixture) moveKey() {
	key := p.rows(idemKey)[0]
	p.put(append(appendIdemDay(nil, 7), key[5:]...), p.row(key))
	p.drop(key)
}

func (p *fixture) forgeEvent() {
	keys := p.rows(eventKey)
	event, err := decodeEvent(p.row(keys[len(keys)-1]))
	if err != nil {
		p.Fatal(err)
	}
	event.version = 9
	p.put(appendEvent(nil, 1<<40), event.append(nil))
}

func (p *fixture) copyEvent() { p.put(appendEvent(nil, 1<<40), p.row(p.rows(eventKey)[0])) }

// TestVerify_EachDamage_IsFoundAndRepaired plants one kind of damage at a time.
func TestVerify_EachDamage_IsFoundAndRepaired(t *testing.T) {
	for name, d := range damageCases {
		t.Run(name, func(t *testing.T) {
			p := newFixture(t)
			if found, survey := p.verify(false); len(found) > 0 || survey.Messages != 4 || survey.Scheduled != 1 || survey.Tasks != 2 || survey.DeadLetters != 1 || survey.Waiting != 2 {
				t.Fatalf("before the damage: got %+v, %+v", found, survey)
			}
			before := len(p.allRows())
			d.plant(p)
			planted := len(p.allRows())
			p.publish() // the damage was written past the committer
			if found, _ := p.verify(false); !finds(found, name, esh3ar.Reported) {
				t.Fatalf("got findings %+v, want one of this check", found)
			}
			if now := len(p.allRows()); now != planted {
				t.Errorf("verify without repair changed the number of rows from %d to %d", planted, now)
			}
			if found, _ := p.verify(true); !finds(found, name, d.action) {
				t.Fatalf("want action %s, got findings %+v", d.action, found)
			}
			if now := len(p.allRows()); now < min(before, planted) {
				t.Errorf("rows were lost: %d before, %d after the damage, %d after the repair", before, planted, now)
			}
			found, _ := p.verify(false)
			if rest := len(found); (d.action == esh3ar.Reported) != (rest > 0) {
				t.Errorf("after the repair: got findings %+v", found)
			}
			p.checkUsable(name)
		})
	}
}

func finds(found []esh3ar.Finding, check, action string) bool {
	return slices.ContainsFunc(found, func(f esh3ar.Finding) bool {
		return f.Check == check && f.Action == action && f.Where != "" && f.Detail != ""
	})
}

func (p *fixture) allRows() (keys [][]byte) {
	for kind := range 255 {
		keys = append(keys, p.rows(byte(kind))...)
	}
	return keys
}

// checkUsable checks that the store is usable after a repair.
func (p *fixture) checkUsable(damage string) {
	p.Helper()
	page, err := p.Pending(p.Context(), esh3ar.InboxQuery{Recipient: testRecipient, Limit: 100, Bytes: 1 << 20})
	if err != nil {
		p.Fatalf("read inbox: %v", err)
	}
	if n := len(page.Records); n < 1 || n > 3 {
		p.Errorf("got %d undelivered messages, want 1 to 3", n)
	}
	id := p.append(func(*esh3ar.Message) {})
	p.settleTo(id, esh3ar.Sent, esh3ar.Delivered)
	if r, err := p.Message(p.Context(), id); err != nil || r.Status != esh3ar.Delivered {
		p.Errorf("new message: got %+v, %v; want delivered", r.Progress, err)
	}
	if _, err := p.List(p.Context(), esh3ar.ListQuery{Business: p.business, Limit: 100}); err != nil {
		p.Error(err)
	}
	if results, err := p.Settle(p.Context(), []esh3ar.Change{{Message: p.failed, Recipient: testRecipient, To: esh3ar.Queued, Replay: true, At: p.now}}); err != nil || !results[0].Applied {
		p.Errorf("replay: got %+v, %v; want applied", results, err)
	}
	p.now = p.now.Add(2 * time.Hour)
	tasks, err := p.Claim(p.Context(), time.Minute, 10)
	if err != nil || len(tasks) != 2 {
		p.Errorf("got %d due tasks, %v; want 2", len(tasks), err)
	}
}

// TestVerify_Documentation_ListsEveryCheck compares docs/verify.md with the damage cases planted here.
func TestVerify_Documentation_ListsEveryCheck(t *testing.T) {
	text, err := os.ReadFile("../../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .+ \\| `(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		listed[row[1]] = row[2]
	}
	for name, d := range damageCases {
		if listed[name] != d.action {
			t.Errorf("%s: documented action is %q, want %s", name, listed[name], d.action)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is documented but never planted", name)
	}
}

// TestVerify_RandomOperations_FindsNothing uses a store at random, through its public methods only, and verifies it
// repeatedly.
func TestVerify_RandomOperations_FindsNothing(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		p := newFixture(t)
		w := &randomWorkload{fixture: p, random: rand.New(rand.NewPCG(uint64(seed), 3))}
		for i := range 120 {
			w.do(w.random.IntN(12))
			if i%30 == 29 {
				if found, _ := p.verify(i%60 == 59); len(found) > 0 {
					t.Fatalf("seed %d, step %d: %+v", seed, i, found)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// randomWorkload uses a store at random.
type randomWorkload struct {
	*fixture
	random *rand.Rand
	ids    []esh3ar.MessageID
}

func (w *randomWorkload) pick() esh3ar.MessageID {
	if len(w.ids) == 0 {
		return w.undelivered
	}
	return w.ids[w.random.IntN(len(w.ids))]
}

func (w *randomWorkload) do(what int) {
	ctx := context.Background()
	w.now = w.now.Add(time.Duration(w.random.IntN(5000)) * time.Millisecond)
	var err error
	switch what {
	case 0, 1:
		w.ids = append(w.ids, w.append(func(m *esh3ar.Message) { m.Priority = esh3ar.Priority(w.random.IntN(esh3ar.Priorities)) }))
	case 2:
		w.ids = append(w.ids, w.append(func(m *esh3ar.Message) { m.SendAt = w.now.Add(time.Duration(w.random.IntN(60)) * time.Second) }))
	case 3:
		w.ids = append(w.ids, w.append(func(m *esh3ar.Message) {
			m.TTL = time.Duration(1+w.random.IntN(60)) * time.Second
			m.ExpiresAt = m.CreatedAt().Add(m.TTL)
		}))
	case 4, 5, 6:
		w.settleTo(w.pick(), esh3ar.Pending+esh3ar.Status(w.random.IntN(esh3ar.Statuses-2)))
	case 7, 8:
		_, err = w.Settle(ctx, []esh3ar.Change{
			{Message: w.pick(), Recipient: testRecipient, To: esh3ar.Failed, At: w.now}, {Message: w.pick(), Recipient: testRecipient, To: esh3ar.Queued, Replay: true, At: w.now},
		})
	case 9:
		var tasks []esh3ar.Task
		if tasks, err = w.Claim(ctx, time.Second, 5); err == nil && len(tasks) > 0 {
			changes := make([]esh3ar.Change, len(tasks))
			for i := range tasks {
				to := map[esh3ar.TaskKind]esh3ar.Status{esh3ar.EnqueueTask: esh3ar.Queued, esh3ar.ExpireTask: esh3ar.Expired}[tasks[i].Kind]
				changes[i] = esh3ar.Change{Message: tasks[i].Message, Recipient: testRecipient, Life: tasks[i].Life, To: to, At: w.now, Task: &tasks[i]}
			}
			_, err = w.Settle(ctx, changes)
		}
	case 10:
		if id := w.pick(); w.Discard(ctx, w.business, id) == nil {
			w.checkNotReplayed(id)
		}
	default:
		if _, _, err = w.Purge(ctx, esh3ar.RetentionCutoffs{Default: w.now.Add(-time.Minute)}, "", 3); err == nil {
			_, err = w.TrimEvents(ctx, w.now.Add(-30*time.Second))
		}
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *randomWorkload) checkNotReplayed(id esh3ar.MessageID) {
	if results, err := w.Settle(context.Background(), []esh3ar.Change{{Message: id, Recipient: testRecipient, To: esh3ar.Queued, Replay: true, At: w.now}}); err != nil || results[0].Applied {
		w.Errorf("replay of a discarded dead letter: got %+v, %v; want not applied", results, err)
	}
}

// TestVerify_ConcurrentWrites_FindsNothing verifies and repairs while other goroutines write.
func TestVerify_ConcurrentWrites_FindsNothing(t *testing.T) {
	p := newFixture(t)
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			for range 200 {
				id := p.append(func(m *esh3ar.Message) {
					if i == 0 {
						m.TTL, m.ExpiresAt = time.Hour, m.CreatedAt().Add(time.Hour)
					}
				})
				p.settleTo(id, esh3ar.Sent, esh3ar.Failed)
				_, _ = p.Settle(p.Context(), []esh3ar.Change{{Message: id, Recipient: testRecipient, To: esh3ar.Queued, Replay: true, At: p.now}})
				p.settleTo(id, esh3ar.Delivered)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	for working := true; working; {
		select {
		case <-done:
			working = false
		default:
		}
		if found, _ := p.verify(true); len(found) > 0 {
			t.Errorf("found %s", fmt.Sprintf("%+v", found[0]))
			break
		}
	}
	group.Wait()
}
