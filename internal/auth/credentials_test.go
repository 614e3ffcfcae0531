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

// clock is a manual clock.
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

// startOn bootstraps a node on a store.
func startOn(t *testing.T, store *embedded.Store, dir string, now func() time.Time) auth.Result {
	t.Helper()
	b := auth.Bootstrap{Store: store, Dir: dir, Now: now}
	result, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// run polls the store until the test ends.
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

// wantValid checks whether both Verify and VerifyOpen accept a token.
func wantValid(t *testing.T, tokens *auth.Tokens, want bool, what, token string) {
	t.Helper()
	_, err := tokens.Verify(token)
	if (err == nil) != want || err != nil && esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("%s: Verify: got %v, want valid: %v", what, err, want)
	}
	if _, err := tokens.VerifyOpen(token); (err == nil) != want {
		t.Errorf("%s: VerifyOpen: got %v, want valid: %v", what, err, want)
	}
}

func TestCredentials_Rotated_OldTokensStayValidUntilExpiry(t *testing.T) {
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
		t.Errorf("a new key signs at once, want after SignsAfter: %+v", keys)
	}
	c.add(auth.SignsAfter)
	if keys := one.Watch.SigningKeys(); !keys[0].Signs || keys[1].Signs {
		t.Errorf("the new key does not sign after SignsAfter: %+v", keys)
	}
	after := mint(t, two.Tokens, 967771234567, "a", auth.MaxTokenTTL)
	if header := strings.Split(after, ".")[0]; header == strings.Split(before, ".")[0] {
		t.Error("tokens of different keys have the same header")
	}
	for _, result := range []auth.Result{one, two, startOn(t, store, t.TempDir(), c.now)} {
		wantValid(t, result.Tokens, true, "token of the old key", before)
		wantValid(t, result.Tokens, true, "token of the new key", after)
	}
	c.add(auth.MaxTokenTTL)
	if keys := one.Watch.SigningKeys(); len(keys) != 1 || keys[0].ID == first {
		t.Errorf("after MaxTokenTTL: got keys %+v, want only the new one", keys)
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
		t.Errorf("other node: got revocation %+v, device revoked: %v; want all devices revoked", r, two.Tokens.Revoked(device))
	}
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens} {
		wantValid(t, tokens, false, "token of the ended key", before)
		wantValid(t, tokens, true, "token of the new key", mint(t, one.Tokens, 967771234567, "a", 0))
	}
	if err := one.Watch.End(t.Context(), one.Watch.SigningKeys()[0].ID); esh3ar.CodeOf(err) != esh3ar.InUse {
		t.Errorf("End of the last key: got %v, want InUse", err)
	}
	if err := one.Watch.End(t.Context(), "00000000"); esh3ar.CodeOf(err) != esh3ar.NotFound {
		t.Errorf("End of an unknown key: got %v, want NotFound", err)
	}
}

func TestCredentials_Revoked_VoidsOlderTokens(t *testing.T) {
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
	wantValid(t, one.Tokens, false, "token on the revoking node", a)
	if r := <-told; r.Recipient != phone || r.Device != "a" {
		t.Errorf("other node: got revocation %+v", r)
	}
	again := mint(t, one.Tokens, phone, "a", 0) // possibly in the same millisecond
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens, startOn(t, store, t.TempDir(), c.now).Tokens} {
		wantValid(t, tokens, false, "token of the device", a)
		wantValid(t, tokens, false, "redirect token of the device", redirect)
		wantValid(t, tokens, true, "token of another device", b)
		wantValid(t, tokens, true, "token of another phone", stranger)
		wantValid(t, tokens, true, "token created after the revocation", again)
	}
	c.add(time.Hour)
	if err := one.Watch.Revoke(t.Context(), phone, ""); err != nil {
		t.Fatal(err)
	}
	<-told
	for _, tokens := range []*auth.Tokens{one.Tokens, two.Tokens} {
		wantValid(t, tokens, false, "token of another device", b)
		wantValid(t, tokens, false, "token created between the revocations", again)
		wantValid(t, tokens, true, "token of another phone", stranger)
	}
	// The other node creates a token after it has read the revocation.
	if err := two.Watch.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantValid(t, one.Tokens, true, "token of a node that has read the revocation", mint(t, two.Tokens, phone, "c", 0))
}

func TestCredentials_RotateAdmin_VoidsOldToken(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	one, two := startOn(t, store, dir, time.Now), startOn(t, store, t.TempDir(), time.Now)
	run(t, two)
	old := one.Secrets.AdminToken
	token, err := one.Watch.RotateAdmin(t.Context())
	if err != nil || !one.Admin.Is(token) || one.Admin.Is(old) {
		t.Fatalf("got %v, want only the new token to be accepted", err)
	}
	eventually(t, "the other node knows", func() bool { return two.Admin.Is(token) && !two.Admin.Is(old) })
	text, err := os.ReadFile(filepath.Join(dir, auth.BootstrapFile))
	if err != nil || !strings.Contains(string(text), token) || !strings.Contains(string(text), one.Secrets.APIKey) {
		t.Errorf("secrets file: got %s, %v; want the new token and the API key", text, err)
	}
	fixed, err := (&auth.Bootstrap{Store: store, Dir: dir, AdminToken: "of a flag", Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fixed.Watch.RotateAdmin(t.Context()); esh3ar.CodeOf(err) != esh3ar.InUse || !fixed.Admin.Is("of a flag") || fixed.Admin.Is(token) {
		t.Errorf("token given as a flag: got %v, want InUse", err)
	}
	reset, _, err := auth.ResetAdmin(t.Context(), store, dir)
	if err != nil || !startOn(t, store, dir, time.Now).Admin.Is(reset) {
		t.Errorf("reset: got %v, want the new token to be accepted", err)
	}
}

func TestTokens_NonCanonicalForms_AreRejected(t *testing.T) {
	t.Parallel()
	tokens := auth.NewTokens(auth.NewSigningKey(), time.Now)
	good := mint(t, tokens, 967771234567, "a", 0)
	wantValid(t, tokens, true, "the token", good)
	parts := strings.Split(good, ".")
	head := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	last := parts[2][len(parts[2])-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	next := alphabet[strings.IndexByte(alphabet, last)|1] // other trailing bits; the last of 43 characters has 2 unused bits
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
		wantValid(t, tokens, false, name, bad)
	}
}
