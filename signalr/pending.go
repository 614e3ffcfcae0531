package signalr

import (
	"sync"
	"time"
)

// pending holds the connections that were negotiated but not connected yet. A client can negotiate any number of times, so
// the number of entries is bounded and each entry expires after a short time.
type pending struct {
	limit int
	life  time.Duration

	mu     sync.Mutex
	tokens map[string]negotiated
	users  map[string]int // tokens of each user
	queue  []waitingToken // oldest first; entries whose token is gone are skipped
}

type negotiated struct {
	id       string
	user     string
	stateful bool // the connection may outlive its socket
}

type waitingToken struct {
	token string
	until int64
}

func newPending(limit int, life time.Duration) *pending {
	return &pending{limit: limit, life: life, tokens: make(map[string]negotiated), users: make(map[string]int)}
}

// leastLife is the age from which a token may be dropped to make room for a new one. Well-behaved clients have connected by
// then.
const leastLife = time.Second

// add stores a token. It returns false if there are too many.
func (p *pending) add(token string, n negotiated, now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The queue is what is bounded: it also holds tokens already taken, until they would have expired. Those are
	// let out early when they are all that fills it.
	if len(p.queue) >= p.limit {
		p.compactLocked()
	}
	if len(p.queue) >= p.limit {
		if p.life >= 0 && now-(p.queue[0].until-int64(p.life)) < int64(leastLife) {
			return false
		}
		p.dropLocked(p.queue[0].token)
		p.queue = p.queue[1:]
	}
	p.tokens[token] = n
	if n.user != "" {
		p.users[n.user]++
	}
	p.queue = append(p.queue, waitingToken{token, now + int64(p.life)})
	return true
}

// take returns what was negotiated under the token, once.
func (p *pending) take(token, user string) (n negotiated, found, sameUser bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, found = p.tokens[token]
	if !found {
		return n, false, false
	}
	if n.user != user {
		return n, true, false
	}
	p.dropLocked(token)
	return n, true, true
}

// count returns how many tokens of a user wait; 0 for "", which is no user.
func (p *pending) count(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users[user]
}

func (p *pending) dropLocked(token string) {
	n, found := p.tokens[token]
	delete(p.tokens, token)
	if !found || n.user == "" {
		return
	}
	p.users[n.user]--
	if p.users[n.user] == 0 {
		delete(p.users, n.user)
	}
}

// has reports whether a token waits to be connected.
func (p *pending) has(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.tokens[token]
	return there
}

// sweep removes expired tokens.
func (p *pending) sweep(now int64) {
	if p.life < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := 0
	for ; i < len(p.queue) && p.queue[i].until <= now; i++ {
		p.dropLocked(p.queue[i].token)
	}
	p.queue = append(p.queue[:0], p.queue[i:]...)
	if len(p.queue) == 0 {
		p.queue = nil
	}
}

func (p *pending) compactLocked() {
	kept := p.queue[:0]
	for _, w := range p.queue {
		if _, there := p.tokens[w.token]; there {
			kept = append(kept, w)
		}
	}
	p.queue = kept
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tokens)
}
