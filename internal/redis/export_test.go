package redis

import "time"

// SetTTL shortens how long a word stands: the servers' clock is no test's to move.
func (p *Presence) SetTTL(ttl time.Duration) { p.ttl = ttl }

// SetTTL shortens how long a word stands: the servers' clock is no test's to move.
func (r *Registry) SetTTL(ttl time.Duration) { r.ttl = ttl }

// CheckURL tells what is wrong with a --redis-url.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}
