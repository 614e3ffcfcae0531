package auth_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// startOn is a start of a node on a store.
func startOn(t *testing.T, store *embedded.Store, dir string, now func() time.Time) auth.Result {
	t.Helper()
	b := auth.Bootstrap{Store: store, Dir: dir, Now: now}
	result, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// run has a node read its store until the test ends.
func run(t *testing.T, result auth.Result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = result.Watch.Run(ctx) })
	t.Cleanup(func() { cancel(); group.Wait() })
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // bounds a hang
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}

func mint(t *testing.T, tokens *auth.Tokens, r esh3ar.Recipient, device string, ttl time.Duration) string {
	t.Helper()
	token, _, err := tokens.Mint(r, device, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantGood(t *testing.T, tokens *auth.Tokens, want bool, what, token string) {
	t.Helper()
	_, err := tokens.Verify(token)
	if (err == nil) != want || err != nil && esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("%s: got %v, want good: %v", what, err, want)
	}
	if _, err := tokens.VerifyOpen(token); (err == nil) != want {
		t.Errorf("%s, of what is open: got %v, want good: %v", what, err, want)
	}
}

func TestCredentials_Rotated_OldTokensGoOnUntilTheyEnd(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Now()}
	store := openStore(t)
	one, two := startOn(t, store, t.TempDir(), c.now), startOn(t, store, t.TempDir(), c.now)
	run(t, two)
	before := mint(t, one.Tokens, 967771234567, "a", auth.MaxTokenTTL)
	first := one.Watch.SigningKeys()[0].ID
	if err := one.Watch.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node knows the new key", func() bool { return len(two.Watch.SigningKeys()) == 2 })
	if keys := one.Watch.SigningKeys(); keys[0].Signs || !keys[1].Signs || keys[1].ID != first {
		t.Errorf("a new key signs at once: %+v", keys)
	}
	c.add(auth.SignsAfter)
	if keys := one.Watch.SigningKeys(); !keys[0].Signs || keys[1].Signs {
		t.Errorf("the new key does not sign in time: %+v", keys)
	}
	after := mint(t, two.Tokens, 967771234567, "a", auth.MaxTokenTTL)
	if header := strings.Split(after, ".")[0]; header == strings.Split(before, ".")[0] {
		t.Error("the header of a token does not name its key")
	}
	for _, result := range []auth.Result{one, two, startOn(t, store, t.TempDir(), c.now)} {
		wantGood(t, result.Tokens, true, "of the old key", before)
		wantGood(t, result.Tokens, true, "of the new key", after)
	}
	c.add(auth.MaxTokenTTL)
	if keys := one.Watch.SigningKeys(); len(keys) != 1 || keys[0].ID == first {
		t.Errorf("after the longest life of a token: got %+v, want the new key alone", keys)
	}
}

func TestCredentials_OthersEnded_VoidsEveryToken(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	one, two := startOn(t, store, t.TempDir(), time.Now), startOn(t, store, t.TempDir(), time.Now)
	told := make(chan esh3ar.Revocation, 10)
	two.Watch.OnRevoked = func(r esh3ar.Revocation) { told <- r }
	run(t, two)
	before := mint(t, two.Tokens, 967771234567, "a", 0)
	device, err := two.Tokens.Verify(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Watch.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if r := <-told; r.Recipient != 0 || !two.Tokens.Revoked(device) {
		t.Errorf("the other node was told of %+v, and the device is revoked: %v", r, two.Tokens.Revoked(device))
	}
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens} {
		wantGood(t, tokens, false, "of the ended key", before)
		wantGood(t, tokens, true, "of the new key", mint(t, one.Tokens, 967771234567, "a", 0))
	}
	if err := one.Watch.End(t.Context(), one.Watch.SigningKeys()[0].ID); esh3ar.CodeOf(err) != esh3ar.InUse {
		t.Errorf("the last key was ended: %v", err)
	}
	if err := one.Watch.End(t.Context(), "00000000"); esh3ar.CodeOf(err) != esh3ar.NotFound {
		t.Errorf("an unknown key was ended: %v", err)
	}
}

func TestCredentials_Revoked(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Now()}
	store := openStore(t)
	one, two := startOn(t, store, t.TempDir(), c.now), startOn(t, store, t.TempDir(), c.now)
	told := make(chan esh3ar.Revocation, 10)
	two.Watch.OnRevoked = func(r esh3ar.Revocation) { told <- r }
	run(t, two)
	const phone, other = 967771234567, 967771234568
	a, b, stranger := mint(t, two.Tokens, phone, "a", 0), mint(t, one.Tokens, phone, "b", 0), mint(t, one.Tokens, other, "a", 0)
	device, err := one.Tokens.Verify(a)
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := one.Tokens.Redirect(device)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Watch.Revoke(t.Context(), phone, "a"); err != nil {
		t.Fatal(err)
	}
	wantGood(t, one.Tokens, false, "on this node at once", a)
	if r := <-told; r.Recipient != phone || r.Device != "a" {
		t.Errorf("the other node was told of %+v", r)
	}
	again := mint(t, one.Tokens, phone, "a", 0) // in the same millisecond
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens, startOn(t, store, t.TempDir(), c.now).Tokens} {
		wantGood(t, tokens, false, "the device's", a)
		wantGood(t, tokens, false, "a redirect's of it", redirect)
		wantGood(t, tokens, true, "another device's", b)
		wantGood(t, tokens, true, "another phone's", stranger)
		wantGood(t, tokens, true, "made afterwards", again)
	}
	c.add(time.Hour)
	if err := one.Watch.Revoke(t.Context(), phone, ""); err != nil {
		t.Fatal(err)
	}
	<-told
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens} {
		wantGood(t, tokens, false, "another device's", b)
		wantGood(t, tokens, false, "made between", again)
		wantGood(t, tokens, true, "another phone's", stranger)
	}
	// A token of a node that has not heard of the revocation, with a clock that is behind.
	if err := two.Watch.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantGood(t, one.Tokens, true, "made by a node that knows", mint(t, two.Tokens, phone, "c", 0))
}

func TestRotateAdmin(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	one, two := startOn(t, store, dir, time.Now), startOn(t, store, t.TempDir(), time.Now)
	run(t, two)
	old := one.Secrets.AdminToken
	token, err := one.Watch.RotateAdmin(t.Context())
	if err != nil || !one.Admin.Is(token) || one.Admin.Is(old) {
		t.Fatalf("%v", err)
	}
	eventually(t, "the other node knows", func() bool { return two.Admin.Is(token) && !two.Admin.Is(old) })
	text, err := os.ReadFile(filepath.Join(dir, auth.BootstrapFile))
	if err != nil || !strings.Contains(string(text), token) || !strings.Contains(string(text), one.Secrets.APIKey) {
		t.Errorf("the file has %s, %v", text, err)
	}
	fixed, err := (&auth.Bootstrap{Store: store, Dir: dir, AdminToken: "of a flag", Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fixed.Watch.RotateAdmin(t.Context()); esh3ar.CodeOf(err) != esh3ar.InUse || !fixed.Admin.Is("of a flag") || fixed.Admin.Is(token) {
		t.Errorf("a token of a flag was rotated: %v", err)
	}
	reset, _, err := auth.ResetAdmin(t.Context(), store, dir)
	if err != nil || !startOn(t, store, dir, time.Now).Admin.Is(reset) {
		t.Errorf("reset: %v", err)
	}
}

func TestTokens_LooseForms_AreRefused(t *testing.T) {
	t.Parallel()
	tokens := auth.NewTokens(auth.NewSigningKey(), time.Now)
	good := mint(t, tokens, 967771234567, "a", 0)
	wantGood(t, tokens, true, "the token", good)
	parts := strings.Split(good, ".")
	head := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	last := parts[2][len(parts[2])-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	next := alphabet[strings.IndexByte(alphabet, last)|1] // other trailing bits; 43 characters carry 2 of them
	for name, bad := range map[string]string{
		"padding":        good + "=",
		"a space before": " " + good,
		"a line end":     good + "\n",
		"a line end in":  parts[0] + ".\n" + parts[1] + "." + parts[2],
		"trailing bits":  good[:len(good)-1] + string(next),
		"standard form":  strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
		"four parts":     good + ".",
		"no signature":   parts[0] + "." + parts[1] + ".",
		"alg none":       head(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg None":       head(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"alg RS256":      head(`{"alg":"RS256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"alg HS512":      head(`{"alg":"HS512","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"huge":           parts[0] + "." + strings.Repeat("A", 1<<20) + "." + parts[2],
	} {
		if bad == good {
			continue
		}
		wantGood(t, tokens, false, name, bad)
	}
}
