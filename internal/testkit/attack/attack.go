// Package attack implements hostile clients: what a stranger, phone, business or network neighbour can do to a node or a
// gateway over its sockets. The tests and `make hostile` run them beside well-behaved clients. An attack makes no assertions: it counts
// the answers that it reads, and its caller measures the others.
//
// Every attack is bounded in connections, rate and bytes, dials loopback addresses only, and ends with its context.
//
// Concurrency: an Attack may run several times at once; Run owns its goroutines and returns when they have ended.
package attack

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Party is what the attacker is to the platform.
type Party string

// The parties.
const (
	Stranger  Party = "stranger"  // no credential
	Phone     Party = "phone"     // a device token
	Business  Party = "business"  // an API key
	Neighbour Party = "neighbour" // a way to Redis
)

// Attack is one hostile behaviour.
type Attack struct {
	Name   string
	Party  Party
	run    func(ctx context.Context, v *Victim)
	Direct bool // needs WebSockets, which a gateway sends to a node
}

// Victim is the server under attack, and what the attacker has.
type Victim struct {
	URL         string // of a node or a gateway; http and a loopback address
	From        net.IP // source address; nil: the system's choice
	APIKey      string // of the hostile business
	DeviceToken string // of the hostile phone
	DeviceID    string // of the hostile phone
	PhoneNumber string // of the hostile phone
	Inbox       string // phone number that a hostile business writes to
	Redis       func(ctx context.Context, args ...string) (any, error)
	Size        int     // connections of an attack that holds them; default 500
	Rate        float64 // factor of the rates of an attack that repeats calls; default 1

	Answers Answers

	dials *pace
	host  string
}

// Run attacks until ctx ends, or until the attack has done what it does once.
func (a Attack) Run(ctx context.Context, v *Victim) error {
	u, err := url.Parse(v.URL)
	if err != nil {
		return fmt.Errorf("attack %s: %w", a.Name, err)
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("attack %s: %s is not a loopback address", a.Name, u.Hostname())
	}
	v.host = u.Host
	if v.Size == 0 {
		v.Size = 500
	}
	if v.Rate == 0 {
		v.Rate = 1
	}
	v.dials = v.pace(dialsPerSecond)
	a.run(ctx, v)
	return nil
}

// All returns every attack, in the order of the parties.
func All() []Attack {
	var all []Attack
	for _, of := range [][]Attack{strangerAttacks(), phoneAttacks(), businessAttacks(), neighbourAttacks()} {
		all = append(all, of...)
	}
	return all
}

// Named returns the attacks of these names, in this order. It panics if there is none of a name.
func Named(names ...string) (found []Attack) {
	all := All()
	for _, name := range names {
		at := slices.IndexFunc(all, func(a Attack) bool { return a.Name == name })
		if at < 0 {
			panic("attack: there is no " + name)
		}
		found = append(found, all[at])
	}
	return found
}

// dialsPerSecond bounds the connections that an attack opens: it does not dial a refusing server in a busy loop.
const dialsPerSecond = 1000

// Answers counts what an attacker reads.
type Answers struct {
	mu struct {
		sync.Mutex
		statuses  map[int]int
		malformed []string
	}
	Dialed, Refused, Ended atomic.Int64 // connections: opened, not opened, ended by the server
}

func (a *Answers) add(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.statuses == nil {
		a.mu.statuses = map[int]int{}
	}
	a.mu.statuses[status]++
}

// malformed keeps the first answers that are no HTTP.
func (a *Answers) addMalformed(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.mu.malformed) < 10 {
		a.mu.malformed = append(a.mu.malformed, what)
	}
}

// Statuses returns how often each status was answered.
func (a *Answers) Statuses() map[int]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	statuses := make(map[int]int, len(a.mu.statuses))
	for status, n := range a.mu.statuses {
		statuses[status] = n
	}
	return statuses
}

// Malformed returns answers that are not well-formed HTTP, at most ten.
func (a *Answers) Malformed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.mu.malformed...)
}

// String is one line.
func (a *Answers) String() string {
	return fmt.Sprintf("%d dialed, %d refused, %d ended by the server, answers %v",
		a.Dialed.Load(), a.Refused.Load(), a.Ended.Load(), a.Statuses())
}

// pace lets through at most so many events in a second.
type pace struct {
	mu struct {
		sync.Mutex
		next time.Time
	}
	every time.Duration
}

// pace returns a pace of so many events in a second, times the rate of the victim.
func (v *Victim) pace(perSecond int) *pace {
	return &pace{every: time.Duration(float64(time.Second) / (float64(perSecond) * v.Rate))}
}

// wait returns when the next event may happen, and reports false if ctx has ended.
func (p *pace) wait(ctx context.Context) bool {
	p.mu.Lock()
	now := time.Now()
	if p.mu.next.Before(now) {
		p.mu.next = now
	}
	at := p.mu.next
	p.mu.next = at.Add(p.every)
	p.mu.Unlock()
	return pause(ctx, at.Sub(now))
}

// pause sleeps and reports false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
