package ratelimit

import (
	"math"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// compiledPlan is a plan prepared for the hot path.
type compiledPlan struct {
	plan   *esh3ar.Plan
	quota  flow.Quota
	policy []string // value of the RateLimit-Policy header
}

func compilePlan(p *esh3ar.Plan) *compiledPlan {
	return &compiledPlan{plan: p, quota: flow.NewQuota(p.Rate, p.Burst), policy: []string{policyOf(p)}}
}

// planOrNil returns the plan, or nil if t is nil.
func (t *compiledPlan) planOrNil() *esh3ar.Plan {
	if t == nil {
		return nil
	}
	return t.plan
}

// Policy names in the RateLimit headers.
const (
	ratePolicy  = `"rate"`
	dayPolicy   = `"day"`
	callsPolicy = `"calls"`
)

// policyOf formats a plan as quota policies of draft-ietf-httpapi-ratelimit-headers-11. A batch of n messages counts as n requests.
// The window of the rate policy is the time in which a whole burst refills, so q/w is the rate.
func policyOf(p *esh3ar.Plan) string {
	window := max(1, int64(math.Ceil(float64(p.Burst)/p.Rate)))
	text := append([]byte(ratePolicy), ";q="...)
	text = append(strconv.AppendInt(text, int64(p.Burst), 10), ";w="...)
	text = strconv.AppendInt(text, window, 10)
	if p.DailyQuota > 0 {
		text = append(append(text, ","+dayPolicy...), ";q="...)
		text = append(strconv.AppendInt(text, p.DailyQuota, 10), ";w=86400"...)
	}
	if p.Concurrent > 0 {
		text = append(append(text, ","+callsPolicy...), ";q="...)
		text = append(strconv.AppendInt(text, int64(p.Concurrent), 10), `;qu="concurrent-requests"`...)
	}
	return string(text)
}

// Grant is what a business may still send.
type Grant struct {
	Remaining int           // messages that it may send now
	Reset     time.Duration // time until the whole burst is available
	Daily     bool          // the plan has a daily quota
	DayLeft   int64         // messages left today
	DayReset  time.Duration // time until the day ends
}

// AppendLimits appends the value of the RateLimit header to dst.
func (g *Grant) AppendLimits(dst []byte) []byte {
	dst = appendLimit(dst, ratePolicy, int64(g.Remaining), g.Reset)
	if g.Daily {
		dst = appendLimit(append(dst, ','), dayPolicy, g.DayLeft, g.DayReset)
	}
	return dst
}

func appendLimit(dst []byte, policy string, remaining int64, reset time.Duration) []byte {
	dst = strconv.AppendInt(append(append(dst, policy...), ";r="...), remaining, 10)
	return strconv.AppendInt(append(dst, ";t="...), int64((reset+time.Second-1)/time.Second), 10)
}
