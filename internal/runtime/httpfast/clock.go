package httpfast

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock formats the Date field of responses once per second.
type clock struct{ now atomic.Pointer[formattedDate] }

type formattedDate struct {
	second int64
	text   string
}

// date returns the value of the Date field.
func (c *clock) date(now time.Time) string {
	d := c.now.Load()
	if d == nil || d.second != now.Unix() {
		d = &formattedDate{now.Unix(), now.UTC().Format(http.TimeFormat)}
		c.now.Store(d)
	}
	return d.text
}
