package esh3ar

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Level is a business's place when there is not enough for all: lower levels are shed first.
type Level uint8

// The levels, lowest first; the zero value is Basic.
const (
	Basic Level = iota
	Premium
	Enterprise

	// Levels is how many there are.
	Levels = 3
)

var levelNames = [Levels]string{"basic", "premium", "enterprise"}

// ParseLevel reads the outward name.
func ParseLevel(s string) (Level, error) {
	for l, name := range levelNames {
		if s == name {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a level: basic, premium or enterprise", s)
}

// String is the outward name.
func (l Level) String() string {
	if l < Levels {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// MarshalText makes JSON carry the name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// Plan is what a business is entitled to.
type Plan struct {
	Name       string
	Rate       float64       // messages per second, in the long run; 0.001 to MaxRate
	Burst      int           // messages at once; 1 to MaxBurst, and to MaxBurstTime at the rate
	DailyQuota int64         // messages per day in UTC; 0: no quota
	Concurrent int           // calls at once on each node; 0: no limit
	Level      Level         // when there is not enough for all
	Retention  time.Duration // how long finished messages are kept, whole days, but as long as events at least; 0: as long as the node keeps them
	UpdatedAt  Time

	InboxLimit     int     // messages that may wait in one lane of one inbox; 0: DefaultInboxLimit
	RecipientRate  float64 // messages per second to one recipient; 0: DefaultRecipientRate
	RecipientBurst int     // messages at once to one recipient; 0: DefaultRecipientBurst
}

// What one business may send to one recipient unless its plan says otherwise. A phone that is connected reads its window of
// 64 messages once per round trip, so at 100 ms a full lane of one business holds others up for 1.6 s.
const (
	DefaultInboxLimit     = 1000
	DefaultRecipientRate  = 100
	DefaultRecipientBurst = 1000
)

// OfInbox returns how many messages of the business may wait in one lane of one inbox.
func (p *Plan) OfInbox() int { return cmp.Or(p.InboxLimit, DefaultInboxLimit) }

// OfRecipient returns the rate and the burst of messages to one recipient.
func (p *Plan) OfRecipient() (rate float64, burst int) {
	return cmp.Or(p.RecipientRate, DefaultRecipientRate), cmp.Or(p.RecipientBurst, DefaultRecipientBurst)
}

// Bounds of plans. Rate and burst are what the shared buckets still count to a percent.
const (
	MaxPlanName     = 64 // ASCII letters, digits, '-', '_' and '.'
	MinRate         = 0.001
	MaxRate         = 100_000
	MaxBurst        = 1_000_000
	MaxBurstTime    = 24 * time.Hour // that a whole burst takes to come back
	MaxDailyQuota   = 1_000_000_000_000
	MaxConcurrent   = 100_000
	MaxRetentionDay = 3650
	MaxInboxLimit   = 1_000_000
)

// Plans that are there without being made. They have limits that no node of today reaches, and differ in level; a stored
// plan of the same name takes the place of one.
const (
	DefaultPlan    = "default" // of a business that was given none
	PremiumPlan    = "premium"
	EnterprisePlan = "enterprise"
)

// BuiltInPlans are those plans, by name.
func BuiltInPlans() []Plan {
	all := []Plan{{Name: DefaultPlan, Level: Basic}, {Name: EnterprisePlan, Level: Enterprise}, {Name: PremiumPlan, Level: Premium}}
	for i := range all {
		all[i].Rate, all[i].Burst = MaxRate, MaxRate
	}
	return all
}

// Day is a day in UTC, counted from 1970-01-01.
type Day int32

const dayLength = Time(24 * time.Hour / time.Millisecond)

// DayOf is the day on which a time lies.
func DayOf(t Time) Day {
	d := t / dayLength
	if t%dayLength < 0 {
		d--
	}
	return Day(d)
}

// Begin is its first moment.
func (d Day) Begin() Time { return Time(d) * dayLength }

// String is it as 2026-11-24.
func (d Day) String() string { return d.Begin().String()[:len("2026-11-24")] }

// AppendText appends what String gives.
func (d Day) AppendText(dst []byte) ([]byte, error) { return append(dst, d.String()...), nil }

// Usage is what a business did on a day.
type Usage struct {
	Business BusinessID
	Day      Day
	Messages int64 // accepted
	Refused  int64 // over its limits
}

// UsageDays is how long a store keeps usage, in days, today included.
const UsageDays = 92

// PlanStore keeps plans and who has which. Writes are durable when they return; reads see every write that has returned.
type PlanStore interface {
	// PutPlan stores a plan under its name, a new one or in place of the old.
	PutPlan(ctx context.Context, p Plan) error
	// Plans gives all stored plans, by name.
	Plans(ctx context.Context) ([]Plan, error)
	// DropPlan deletes a plan: NotFound if there is none, InUse while a business has it. A business that is given it at the
	// same moment may keep its name: a plan that is not there counts as the default plan.
	DropPlan(ctx context.Context, name string) error
	// Holders gives the businesses that have the plan of this name, in any order.
	Holders(ctx context.Context, plan string) ([]BusinessID, error)
	// AssignPlan gives a business another plan, or answers NotFound. It does not ask whether there is such a plan.
	AssignPlan(ctx context.Context, business BusinessID, plan string) error
}

// UsageStore counts what businesses do, day by day.
type UsageStore interface {
	// AddUsage adds to the counts of many businesses, durably when it returns, and gives the sums in the order of the
	// entries. Two entries of one call are not of the same business and day. What is older than UsageDays before an entry of
	// the same business may be deleted with it.
	AddUsage(ctx context.Context, entries []Usage) ([]Usage, error)
	// Usage gives the days of a business from the first day to the last that have an entry, oldest first.
	Usage(ctx context.Context, business BusinessID, first, last Day) ([]Usage, error)
}
