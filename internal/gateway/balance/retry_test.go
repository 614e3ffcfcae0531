package balance

import "testing"

func TestTry_Next_DecidesRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		try  Try
		poor bool // the budget is spent
		want Next
		paid bool
	}{
		"refused, without a key":           {Try{}, true, Elsewhere, false},
		"refused, the body is gone":        {Try{Tries: 9}, true, Elsewhere, false},
		"sent, without a key":              {Try{Sent: true, Replayable: true}, false, Unknown, false},
		"sent, with a key":                 {Try{Sent: true, Keyed: true, Replayable: true, Tries: 1}, false, Elsewhere, true},
		"sent, with a key, body gone":      {Try{Sent: true, Keyed: true}, false, Unknown, false},
		"sent, with a key, no budget":      {Try{Sent: true, Keyed: true, Replayable: true}, true, Unknown, true},
		"sent, with a key, too often":      {Try{Sent: true, Keyed: true, Replayable: true, Tries: 3}, false, Unknown, false},
		"sent, only reads":                 {Try{Sent: true, Safe: true, Replayable: true}, false, Elsewhere, true},
		"sent, only reads, no budget":      {Try{Sent: true, Safe: true, Replayable: true}, true, Unavailable, true},
		"answered 503":                     {Try{Refusal: true, Sent: true, Replayable: true}, false, Elsewhere, true},
		"answered 503, no budget":          {Try{Refusal: true, Sent: true, Replayable: true}, true, PassOn, true},
		"answered 503, the body is gone":   {Try{Refusal: true, Sent: true}, false, PassOn, false},
		"answered 503, tried often enough": {Try{Refusal: true, Sent: true, Replayable: true, Tries: 3}, false, PassOn, false},
	} {
		paid := false
		got := c.try.Next(func() bool { paid = true; return !c.poor })
		if got != c.want || paid != c.paid {
			t.Errorf("%s: %d, paid %t; want %d, %t", name, got, paid, c.want, c.paid)
		}
	}
}
