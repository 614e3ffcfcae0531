package esh3ar

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Level is the SLA level of a business. In an overload lower levels are shed first.
type Level uint8

// The levels, lowest first; the zero value is Basic.
const (
	Basic Level = iota
	Premium
	Enterprise

	// Levels is the number of levels.
	Levels = 3
)

var levelNames = [Levels]string{"basic", "premium", "enterprise"}

// ParseLevel parses the outward name.
func ParseLevel(s string) (Level, error) {
	for l, name := range levelNames {
		if s == name {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a level: basic, premium or enterprise", s)
}

// String returns the outward name.
func (l Level) String() string {
	if l < Levels {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// MarshalText returns the outward name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText parses the outward name.
func (l *Level) UnmarshalText(text []byte) error {
	var err error
	*l, err = ParseLevel(string(text))
	return err
}

// Plan is the set of limits of a business.
type Plan struct {
	Name       string
	Rate       float64       // messages per second; MinRate to MaxRate
	Burst      int           // messages at once; 1 to MaxBurst, and at most MaxBurstTime of the rate
	DailyQuota int64         // messages per UTC day; 0 for no quota
	Concurrent int           // concurrent calls per node; 0 for no limit
	Level      Level         // SLA level
	Retention  time.Duration // retention of finished messages in whole days, at least that of events; 0 for the default of the node
	UpdatedAt  Time

	InboxLimit     int     // messages that may wait in one lane of one inbox; 0 for DefaultInboxLimit
	RecipientRate  float64 // messages per second to one recipient; 0 for DefaultRecipientRate
	RecipientBurst int     // messages at once to one recipient; 0 for DefaultRecipientBurst
}

// Default limits of one business towards one recipient. A connected phone receives its window of 64 messages once per round trip. So at
// 100 ms a full lane of one business delays the messages of others by 1.6 s.
const (
	DefaultInboxLimit     = 1000
	DefaultRecipientRate  = 100
	DefaultRecipientBurst = 1000
)

// EffectiveInboxLimit returns the number of messages of the business that may wait in one lane of one inbox.
func (p *Plan) EffectiveInboxLimit() int { return cmp.Or(p.InboxLimit, DefaultInboxLimit) }

// EffectiveRecipientRate returns the rate and the burst of messages to one recipient.
func (p *Plan) EffectiveRecipientRate() (rate float64, burst int) {
	return cmp.Or(p.RecipientRate, DefaultRecipientRate), cmp.Or(p.RecipientBurst, DefaultRecipientBurst)
}

// Bounds of plans. Up to these rates and bursts the shared buckets are exact to one percent.
const (
	MaxPlanName      = 64 // ASCII letters, digits, '-', '_' and '.'
	MinRate          = 0.001
	MaxRate          = 100_000
	MaxBurst         = 1_000_000
	MaxBurstTime     = 24 * time.Hour // longest time in which a burst is refilled
	MaxDailyQuota    = 1_000_000_000_000
	MaxConcurrent    = 100_000
	MaxRetentionDays = 3650
	MaxInboxLimit    = 1_000_000
)

// The built-in plans. Their limits are above what a node can do, and they differ in level. A stored plan of the same name replaces one.
const (
	DefaultPlan    = "default" // applies to businesses without a plan
	PremiumPlan    = "premium"
	EnterprisePlan = "enterprise"
)

// BuiltInPlans returns the built-in plans, sorted by name.
func BuiltInPlans() []Plan {
	all := []Plan{{Name: DefaultPlan, Level: Basic}, {Name: EnterprisePlan, Level: Enterprise}, {Name: PremiumPlan, Level: Premium}}
	for i := range all {
		all[i].Rate = MaxRate
		all[i].Burst = MaxRate
	}
	return all
}

// Day is a day in UTC, counted from 1970-01-01.
type Day int32

const dayLength = Time(24 * time.Hour / time.Millisecond)

// DayOf returns the day of a time.
func DayOf(t Time) Day {
	d := t / dayLength
	if t%dayLength < 0 {
		d--
	}
	return Day(d)
}

// Start returns the first millisecond of the day.
func (d Day) Start() Time { return Time(d) * dayLength }

// String returns the form 2026-11-24.
func (d Day) String() string { return d.Start().String()[:len("2026-11-24")] }

// AppendText appends the form of String.
func (d Day) AppendText(dst []byte) ([]byte, error) { return append(dst, d.String()...), nil }

// Usage counts the messages of a business on one day.
type Usage struct {
	Business BusinessID
	Day      Day
	Messages int64 // accepted
	Refused  int64 // refused because of its limits
}

// UsageDays is the number of days for which a store keeps usage, with the current one.
const UsageDays = 92

// PlanStore stores plans and their assignment to businesses. Writes are durable when they return; reads see every write that has returned.
type PlanStore interface {
	// PutPlan stores a plan under its name. It replaces an old one.
	PutPlan(ctx context.Context, p Plan) error
	// Plans returns all stored plans, sorted by name.
	Plans(ctx context.Context) ([]Plan, error)
	// DeletePlan deletes a plan. The error is NotFound if there is none, InUse if a business has it. A business that is assigned the plan at
	// the same moment may keep its name; the default plan applies to it then.
	DeletePlan(ctx context.Context, name string) error
	// BusinessesWithPlan returns the businesses with this plan, in any order.
	BusinessesWithPlan(ctx context.Context, plan string) ([]BusinessID, error)
	// AssignPlan assigns a plan to a business. The error is NotFound if there is no such business. The plan need not exist.
	AssignPlan(ctx context.Context, business BusinessID, plan string) error
}

// UsageStore counts the messages of businesses per day.
type UsageStore interface {
	// AddUsage adds to the counts of many businesses and returns the sums in the order of the entries. It is durable when it returns. No
	// two entries of a call may have the same business and day. Usage that is more than UsageDays older than an entry of the same
	// business may be deleted.
	AddUsage(ctx context.Context, entries []Usage) ([]Usage, error)
	// Usage returns the usage of a business from the first day to the last, oldest first. Days without usage are left out.
	Usage(ctx context.Context, business BusinessID, first, last Day) ([]Usage, error)
}
