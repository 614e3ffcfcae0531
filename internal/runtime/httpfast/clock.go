package httpfast

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock writes the date of answers once a second.
type clock struct{ now atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

// date is the value of the field Date.
func (c *clock) date(now time.Time) string {
	d := c.now.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		c.now.Store(d)
	}
	return d.text
}
