package storetest

import (
	"slices"

	"github.com/esh3artech/esh3ar"
)

var listTests = map[string]func(*fixture){
	"listing: newest first, in pages": func(f *fixture) {
		messages := listed(f, 25)
		slices.Reverse(messages)
		for _, limit := range []int{1, 4, 25, 100} {
			wantList(f, f.listAll(esh3ar.ListQuery{Limit: limit}, nil), messages)
		}
	},
	"messages added during a listing: the cursor stays valid": func(f *fixture) {
		messages := listed(f, 12)
		slices.Reverse(messages)
		wantList(f, f.listAll(esh3ar.ListQuery{Limit: 5}, func() { f.appendOne(alice) }), messages)
	},
	"other businesses: are not visible": func(f *fixture) {
		mine := listed(f, 2)
		f.business = esh3ar.NewBusinessID()
		listed(f, 3)
		slices.Reverse(mine)
		f.business = mine[0].Business
		wantList(f, f.listAll(esh3ar.ListQuery{Limit: 10}, nil), mine)
	},
	"listing: filters": func(f *fixture) {
		messages := listed(f, 12)
		for i, m := range messages {
			if i%3 == 0 {
				f.settle(f.change(m, esh3ar.Delivered))
			}
		}
		for name, c := range map[string]struct {
			query esh3ar.ListQuery
			keep  func(i int) bool
		}{
			"status":           {esh3ar.ListQuery{Statuses: []esh3ar.Status{esh3ar.Delivered}}, func(i int) bool { return i%3 == 0 }},
			"statuses":         {esh3ar.ListQuery{Statuses: []esh3ar.Status{esh3ar.Queued, esh3ar.Delivered}}, func(int) bool { return true }},
			"none":             {esh3ar.ListQuery{Statuses: []esh3ar.Status{esh3ar.Failed}}, func(int) bool { return false }},
			"recipient":        {esh3ar.ListQuery{Recipient: bob}, func(i int) bool { return i%2 == 1 }},
			"correlation":      {esh3ar.ListQuery{CorrelationID: "c-1"}, func(i int) bool { return i%4 == 1 }},
			"all of them":      {esh3ar.ListQuery{Statuses: []esh3ar.Status{esh3ar.Delivered}, Recipient: bob, CorrelationID: "c-1"}, func(i int) bool { return i == 9 }},
			"from":             {esh3ar.ListQuery{From: messages[4].CreatedAt()}, func(i int) bool { return i >= 4 }},
			"until":            {esh3ar.ListQuery{Until: messages[4].CreatedAt()}, func(i int) bool { return i < 4 }},
			"between":          {esh3ar.ListQuery{From: messages[4].CreatedAt(), Until: messages[6].CreatedAt()}, func(i int) bool { return i == 4 || i == 5 }},
			"backwards":        {esh3ar.ListQuery{From: messages[6].CreatedAt(), Until: messages[4].CreatedAt()}, func(int) bool { return false }},
			"before 1970":      {esh3ar.ListQuery{Until: -1}, func(int) bool { return false }},
			"from before 1970": {esh3ar.ListQuery{From: -1}, func(int) bool { return true }},
		} {
			var wanted []*esh3ar.Message
			for i, m := range messages {
				if c.keep(i) {
					wanted = append(wanted, m)
				}
			}
			slices.Reverse(wanted)
			for _, limit := range []int{1, 100} {
				c.query.Limit = limit
				f.Log(name)
				wantList(f, f.listAll(c.query, nil), wanted)
			}
		}
	},
	"invalid cursor": func(f *fixture) {
		_, err := f.Store.List(f.ctx, esh3ar.ListQuery{Business: f.business, Cursor: "nonsense", Limit: 1})
		f.wantCode(err, esh3ar.Invalid, "list")
	},
}

// listed appends n messages, alternately to alice and bob, with four correlation ids in turn.
func listed(f *fixture, n int) []*esh3ar.Message {
	messages := make([]*esh3ar.Message, n)
	for i := range messages {
		messages[i] = f.message([]esh3ar.Recipient{alice, bob}[i%2])
		messages[i].CorrelationID = []string{"c-0", "c-1", "c-2", ""}[i%4]
	}
	f.send(messages...)
	return messages
}

// listAll reads all pages of a listing. It calls between, if not nil, between two pages.
func (f *fixture) listAll(q esh3ar.ListQuery, between func()) []esh3ar.Record {
	f.Helper()
	q.Business = f.business
	var records []esh3ar.Record
	for range 1000 {
		page, err := f.Store.List(f.ctx, q)
		f.ok(err, "list")
		if len(page.Records) > q.Limit {
			f.Fatalf("got %d records, want at most %d", len(page.Records), q.Limit)
		}
		records = append(records, page.Records...)
		q.Cursor = page.NextCursor
		if q.Cursor == "" {
			return records
		}
		if between != nil {
			between()
		}
	}
	f.Fatal("the listing did not end after 1000 pages")
	return nil
}

func wantList(f *fixture, got []esh3ar.Record, wanted []*esh3ar.Message) {
	f.Helper()
	if len(got) != len(wanted) {
		f.Fatalf("got %d records, want %d", len(got), len(wanted))
	}
	for i := range got {
		want(f, got[i].ID, wanted[i].ID, "id")
		want(f, got[i].Seq, wanted[i].Seq, "seq")
	}
}
