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

// patient is a store with messages of every kind, whose rows a test damages.
type patient struct {
	*testing.T
	*Store
	now                                         esh3ar.Time
	business                                    esh3ar.BusinessID
	waits, scheduled, mortal, failed, delivered esh3ar.MessageID
}

const sick = esh3ar.Recipient(967770000001)

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{T: t, business: esh3ar.NewBusinessID(), now: esh3ar.TimeOf(time.Now())}
	var err error
	if p.Store, err = Open("data", Options{FS: vfs.NewMem(), SettleGather: time.Microsecond, Now: func() time.Time { return p.now.Time() }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.CreateBusiness(t.Context(), esh3ar.Business{ID: p.business, Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateKey(t.Context(), esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: p.business, Hash: esh3ar.KeyHash{1}}); err != nil {
		t.Fatal(err)
	}
	p.waits = p.append(func(*esh3ar.Message) {})
	p.scheduled = p.append(func(m *esh3ar.Message) { m.SendAt = m.CreatedAt().Add(time.Hour) })
	p.mortal = p.append(func(m *esh3ar.Message) { m.TTL, m.ExpiresAt = time.Hour, m.CreatedAt().Add(time.Hour) })
	p.failed, p.delivered = p.append(func(*esh3ar.Message) {}), p.append(func(*esh3ar.Message) {})
	p.to(p.failed, esh3ar.Sent, esh3ar.Failed)
	p.to(p.delivered, esh3ar.Sent, esh3ar.Delivered)
	return p
}

func (p *patient) append(change func(*esh3ar.Message)) esh3ar.MessageID {
	p.Helper()
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: p.business, Recipient: sick, Priority: esh3ar.Normal, Content: "x"}
	change(m)
	key := &esh3ar.IdempotencyKey{Key: m.ID.String(), ExpiresAt: p.now.Add(24 * time.Hour)}
	if _, err := p.Append(p.Context(), []*esh3ar.Call{{Business: p.business, Key: key, Messages: []*esh3ar.Message{m}}}); err != nil {
		p.Fatal(err)
	}
	return m.ID
}

func (p *patient) to(id esh3ar.MessageID, statuses ...esh3ar.Status) {
	p.Helper()
	for _, s := range statuses {
		if _, err := p.Settle(p.Context(), []esh3ar.Change{{Message: id, Recipient: sick, To: s, At: p.now}}); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *patient) verify(repair bool) (found []esh3ar.Finding, survey esh3ar.Survey) {
	p.Helper()
	survey, err := p.Verify(p.Context(), repair, func(f esh3ar.Finding) { found = append(found, f) })
	if err != nil {
		p.Fatal(err)
	}
	if survey.Findings != len(found) {
		p.Errorf("%d findings counted, %d told", survey.Findings, len(found))
	}
	return found, survey
}

// rows gives the keys of a kind.
func (p *patient) rows(kind byte) (keys [][]byte) {
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

func (p *patient) drop(key []byte) {
	p.Helper()
	if err := p.db.Delete(key, pebble.Sync); err != nil {
		p.Fatal(err)
	}
}

func (p *patient) put(key, row []byte) {
	p.Helper()
	if err := p.db.Set(key, row, pebble.Sync); err != nil {
		p.Fatal(err)
	}
}

func (p *patient) place(id esh3ar.MessageID) place {
	p.Helper()
	where, ok, err := readPlace(p.db, id)
	if err != nil || !ok {
		p.Fatal(err)
	}
	return where
}

func (p *patient) bodyKey(id esh3ar.MessageID) []byte {
	where := p.place(id)
	return appendBodyKey(nil, where.recipient, where.seq, id)
}

// damages are the ways to be damaged, by the check that must find them.
var damages = map[string]struct {
	plant  func(p *patient)
	action string
}{
	"body_damaged":        {func(p *patient) { p.put(p.bodyKey(p.waits), []byte{9}) }, esh3ar.SetAside},
	"body_missing":        {func(p *patient) { p.drop(p.bodyKey(p.waits)) }, esh3ar.SetAside},
	"body_twice":          {func(p *patient) { p.copyBody() }, esh3ar.SetAside},
	"id_missing":          {func(p *patient) { p.drop(appendID(nil, p.waits)) }, esh3ar.Mended},
	"id_damaged":          {func(p *patient) { p.put(appendID(nil, esh3ar.NewMessageID()), []byte{9}) }, esh3ar.SetAside},
	"id_wrong":            {func(p *patient) { w := p.place(p.waits); w.seq = 99; p.put(appendID(nil, p.waits), w.append(nil)) }, esh3ar.Mended},
	"steps_damaged":       {func(p *patient) { p.put(appendRecipientSeq(nil, stepsKey, sick, p.place(p.waits).seq), nil) }, esh3ar.SetAside},
	"steps_orphaned":      {func(p *patient) { p.put(appendRecipientSeq(nil, stepsKey, sick, 77), []byte{rowFormat, 0, 0}) }, esh3ar.SetAside},
	"steps_illegal":       {func(p *patient) { p.turnBack() }, esh3ar.Reported},
	"undelivered_missing": {func(p *patient) { p.drop(appendWaiting(nil, sick, esh3ar.Normal, p.place(p.waits).seq)) }, esh3ar.Mended},
	"undelivered_stale":   {func(p *patient) { p.put(appendWaiting(nil, sick, esh3ar.Normal, p.place(p.delivered).seq), nil) }, esh3ar.SetAside},
	"undelivered_damaged": {func(p *patient) { p.put([]byte{waitingKey, 1}, nil) }, esh3ar.SetAside},
	"list_missing":        {func(p *patient) { p.drop(appendList(nil, p.business, p.waits)) }, esh3ar.Mended},
	"list_stale":          {func(p *patient) { p.put(appendList(nil, p.business, p.waits), make([]byte, 16)) }, esh3ar.Mended},
	"list_damaged":        {func(p *patient) { p.put(appendList(nil, p.business, esh3ar.NewMessageID()), []byte{9}) }, esh3ar.SetAside},
	"counter_low":         {func(p *patient) { p.put(appendCounter(nil, sick), appendUint64(nil, 1)) }, esh3ar.Mended},
	"counter_damaged":     {func(p *patient) { p.put(appendCounter(nil, sick+1), []byte{9}) }, esh3ar.Reported},
	"dead_letter_missing": {func(p *patient) { p.drop(p.rows(deadKey)[0]) }, esh3ar.Mended},
	"dead_letter_stale":   {func(p *patient) { p.put(appendDead(nil, p.business, 5, p.waits), deadRow(false)) }, esh3ar.SetAside},
	"dead_letter_damaged": {func(p *patient) { p.put([]byte{deadKey, 1}, nil) }, esh3ar.SetAside},
	"task_missing":        {func(p *patient) { p.drop(p.rows(taskKey)[0]) }, esh3ar.Mended},
	"task_orphaned": {func(p *patient) {
		p.put(appendTask(nil, 5, esh3ar.ExpireTask, esh3ar.NewMessageID()), appendTaskRow(nil, 1, sick))
	}, esh3ar.SetAside},
	"task_damaged":     {func(p *patient) { p.put([]byte{taskKey, 1}, nil) }, esh3ar.SetAside},
	"key_damaged":      {func(p *patient) { p.put(p.rows(idemKey)[0], []byte{9}) }, esh3ar.SetAside},
	"key_misplaced":    {func(p *patient) { p.moveKey() }, esh3ar.SetAside},
	"event_damaged":    {func(p *patient) { p.put(appendEvent(nil, 1<<40), []byte{9}) }, esh3ar.SetAside},
	"event_wrong":      {func(p *patient) { p.forgeEvent() }, esh3ar.SetAside},
	"event_missing":    {func(p *patient) { keys := p.rows(eventKey); p.drop(keys[len(keys)-2]) }, esh3ar.Mended},
	"event_twice":      {func(p *patient) { p.copyEvent() }, esh3ar.Reported},
	"trimmed_damaged":  {func(p *patient) { p.put([]byte{trimmedKey}, []byte{9}) }, esh3ar.Reported},
	"unknown_row":      {func(p *patient) { p.put([]byte("Z?"), nil) }, esh3ar.SetAside},
	"business_damaged": {func(p *patient) { p.put(appendBusiness(nil, esh3ar.NewBusinessID()), []byte("{")) }, esh3ar.Reported},
	"plan_damaged":     {func(p *patient) { p.put(appendPlan(nil, "gold"), []byte("{")) }, esh3ar.Reported},
	"usage_damaged":    {func(p *patient) { p.put(appendUsage(nil, esh3ar.NewBusinessID(), 20_000), []byte{9}) }, esh3ar.SetAside},
	"api_key_damaged":  {func(p *patient) { p.put(appendAPIKey(nil, esh3ar.KeyHash{2}), []byte("{")) }, esh3ar.Reported},
	"api_key_unlisted": {func(p *patient) { p.drop(p.rows(ownedKey)[0]) }, esh3ar.Mended},
	"api_key_missing":  {func(p *patient) { p.drop(p.rows(apiKeyKey)[0]) }, esh3ar.SetAside},
}

func (p *patient) row(key []byte) []byte {
	p.Helper()
	row, err := getRow(p.db, key)
	if err != nil {
		p.Fatal(err)
	}
	return row
}

func (p *patient) copyBody() {
	p.put(appendRecipientSeq(nil, bodyKey, sick, 4_000), p.row(p.bodyKey(p.waits)))
	p.put(appendWaiting(nil, sick, esh3ar.Normal, 4_000), nil)
}

func (p *patient) turnBack() {
	done := lifecycle.First(p.delivered, false)
	done.List = append(done.List, lifecycle.Step{Life: 1, Status: esh3ar.Delivered, At: p.now}, lifecycle.Step{Life: 1, Status: esh3ar.Sent, At: p.now})
	where := p.place(p.delivered)
	p.put(appendRecipientSeq(nil, stepsKey, sick, where.seq), done.Append(nil))
	p.put(appendWaiting(nil, sick, esh3ar.Normal, where.seq), nil)
}

func (p *patient) moveKey() {
	key := p.rows(idemKey)[0]
	p.put(append(appendIdemDay(nil, 7), key[5:]...), p.row(key))
	p.drop(key)
}

func (p *patient) forgeEvent() {
	keys := p.rows(eventKey)
	event, err := decodeEvent(p.row(keys[len(keys)-1]))
	if err != nil {
		p.Fatal(err)
	}
	event.version = 9
	p.put(appendEvent(nil, 1<<40), event.append(nil))
}

func (p *patient) copyEvent() { p.put(appendEvent(nil, 1<<40), p.row(p.rows(eventKey)[0])) }

// TestEachDamageIsFoundAndMended plants one damage at a time.
func TestEachDamageIsFoundAndMended(t *testing.T) {
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			if found, survey := p.verify(false); len(found) > 0 || survey.Messages != 4 || survey.Scheduled != 1 || survey.Tasks != 2 || survey.DeadLetters != 1 || survey.Waiting != 2 {
				t.Fatalf("before: %+v, %+v", found, survey)
			}
			before := len(p.allRows())
			d.plant(p)
			planted := len(p.allRows())
			p.publish() // the damage came from outside
			if found, _ := p.verify(false); !finds(found, name, esh3ar.Reported) {
				t.Fatalf("not found: %+v", found)
			}
			if now := len(p.allRows()); now != planted {
				t.Errorf("a look without repair changed the rows: %d, then %d", planted, now)
			}
			if found, _ := p.verify(true); !finds(found, name, d.action) {
				t.Fatalf("not %s: %+v", d.action, found)
			}
			if now := len(p.allRows()); now < min(before, planted) {
				t.Errorf("rows are gone: %d before, %d after the damage, %d after the repair", before, planted, now)
			}
			found, _ := p.verify(false)
			if rest := len(found); (d.action == esh3ar.Reported) != (rest > 0) {
				t.Errorf("after the repair: %+v", found)
			}
			p.works(name)
		})
	}
}

func finds(found []esh3ar.Finding, check, action string) bool {
	return slices.ContainsFunc(found, func(f esh3ar.Finding) bool {
		return f.Check == check && f.Action == action && f.Where != "" && f.Detail != ""
	})
}

func (p *patient) allRows() (keys [][]byte) {
	for kind := range 255 {
		keys = append(keys, p.rows(byte(kind))...)
	}
	return keys
}

// works uses the store after a repair.
func (p *patient) works(damage string) {
	p.Helper()
	page, err := p.Pending(p.Context(), esh3ar.InboxQuery{Recipient: sick, Limit: 100, Bytes: 1 << 20})
	if err != nil {
		p.Fatalf("the inbox cannot be read: %v", err)
	}
	if n := len(page.Records); n < 1 || n > 3 {
		p.Errorf("%d messages wait", n)
	}
	id := p.append(func(*esh3ar.Message) {})
	p.to(id, esh3ar.Sent, esh3ar.Delivered)
	if r, err := p.Message(p.Context(), id); err != nil || r.Status != esh3ar.Delivered {
		p.Errorf("a new message: %+v, %v", r.Progress, err)
	}
	if _, err := p.List(p.Context(), esh3ar.ListQuery{Business: p.business, Limit: 100}); err != nil {
		p.Error(err)
	}
	if results, err := p.Settle(p.Context(), []esh3ar.Change{{Message: p.failed, Recipient: sick, To: esh3ar.Queued, Replay: true, At: p.now}}); err != nil || !results[0].Applied {
		p.Errorf("a replay: %+v, %v", results, err)
	}
	p.now = p.now.Add(2 * time.Hour)
	tasks, err := p.Claim(p.Context(), time.Minute, 10)
	if err != nil || len(tasks) != 2 {
		p.Errorf("%d tasks are due, %v", len(tasks), err)
	}
}

// TestTheTableOfChecksAgrees holds docs/verify.md against the damages that are planted here.
func TestTheTableOfChecksAgrees(t *testing.T) {
	text, err := os.ReadFile("../../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .+ \\| `(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		listed[row[1]] = row[2]
	}
	for name, d := range damages {
		if listed[name] != d.action {
			t.Errorf("%s is listed as %q, the repair makes it %s", name, listed[name], d.action)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is listed and never planted", name)
	}
}

// TestWhateverHappensVerifies does random things to a store, through the port alone, and verifies it again and again.
func TestWhateverHappensVerifies(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		p := newPatient(t)
		w := &wild{patient: p, random: rand.New(rand.NewPCG(uint64(seed), 3))}
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

// wild uses a store at random.
type wild struct {
	*patient
	random *rand.Rand
	ids    []esh3ar.MessageID
}

func (w *wild) pick() esh3ar.MessageID {
	if len(w.ids) == 0 {
		return w.waits
	}
	return w.ids[w.random.IntN(len(w.ids))]
}

func (w *wild) do(what int) {
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
		w.to(w.pick(), esh3ar.Pending+esh3ar.Status(w.random.IntN(esh3ar.Statuses-2)))
	case 7, 8:
		_, err = w.Settle(ctx, []esh3ar.Change{
			{Message: w.pick(), Recipient: sick, To: esh3ar.Failed, At: w.now}, {Message: w.pick(), Recipient: sick, To: esh3ar.Queued, Replay: true, At: w.now},
		})
	case 9:
		var tasks []esh3ar.Task
		if tasks, err = w.Claim(ctx, time.Second, 5); err == nil && len(tasks) > 0 {
			changes := make([]esh3ar.Change, len(tasks))
			for i := range tasks {
				to := map[esh3ar.TaskKind]esh3ar.Status{esh3ar.EnterTask: esh3ar.Queued, esh3ar.ExpireTask: esh3ar.Expired}[tasks[i].Kind]
				changes[i] = esh3ar.Change{Message: tasks[i].Message, Recipient: sick, Life: tasks[i].Life, To: to, At: w.now, Task: &tasks[i]}
			}
			_, err = w.Settle(ctx, changes)
		}
	case 10:
		if id := w.pick(); w.Discard(ctx, w.business, id) == nil {
			w.noReplay(id)
		}
	default:
		if _, _, err = w.Purge(ctx, esh3ar.Served{Before: w.now.Add(-time.Minute)}, "", 3); err == nil {
			_, err = w.TrimEvents(ctx, w.now.Add(-30*time.Second))
		}
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *wild) noReplay(id esh3ar.MessageID) {
	if results, err := w.Settle(context.Background(), []esh3ar.Change{{Message: id, Recipient: sick, To: esh3ar.Queued, Replay: true, At: w.now}}); err != nil || results[0].Applied {
		w.Errorf("a discarded letter was replayed: %+v, %v", results, err)
	}
}

// TestALiveVerify verifies and repairs beside others' work, and finds nothing.
func TestALiveVerify(t *testing.T) {
	p := newPatient(t)
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			for range 200 {
				id := p.append(func(m *esh3ar.Message) {
					if i == 0 {
						m.TTL, m.ExpiresAt = time.Hour, m.CreatedAt().Add(time.Hour)
					}
				})
				p.to(id, esh3ar.Sent, esh3ar.Failed)
				_, _ = p.Settle(p.Context(), []esh3ar.Change{{Message: id, Recipient: sick, To: esh3ar.Queued, Replay: true, At: p.now}})
				p.to(id, esh3ar.Delivered)
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
