package auth_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

func openStore(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestFirstStartMakesSecretsOnce(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	b := auth.Bootstrap{Store: store, Dir: dir, Now: time.Now}
	first, err := b.Run(t.Context())
	if err != nil || !first.First || !first.Admin.Is(first.Secrets.AdminToken) || first.Admin.Is("x") {
		t.Fatalf("first start: %+v, %v", first, err)
	}
	info, err := os.Stat(filepath.Join(dir, auth.BootstrapFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	caller, err := auth.NewKeys(store, time.Now).Authenticate(t.Context(), first.Secrets.APIKey)
	if err != nil || caller.Name != "default" || caller.Business != first.Secrets.BusinessID {
		t.Errorf("caller %+v, %v", caller, err)
	}
	if err := os.Remove(filepath.Join(dir, auth.BootstrapFile)); err != nil { // the operator put it into a safe
		t.Fatal(err)
	}
	second, err := b.Run(t.Context())
	if err != nil || second.First || !second.Admin.Is(first.Secrets.AdminToken) {
		t.Errorf("second start: %+v, %v", second, err)
	}
	token, _, err := first.Tokens.Mint(967771234567, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if device, err := second.Tokens.Verify(token); err != nil || device.Recipient != 967771234567 || device.ID == "" {
		t.Errorf("token of the first start at the second: %+v, %v", device, err)
	}
}

func TestAStartThatCrashedIsCompletedWithTheSameSecrets(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	crashing := auth.Bootstrap{Store: failing{store}, Dir: dir, Now: time.Now}
	if _, err := crashing.Run(t.Context()); err == nil {
		t.Fatal("the start was to fail")
	}
	before, err := os.ReadFile(filepath.Join(dir, auth.BootstrapFile))
	if err != nil {
		t.Fatal(err)
	}
	result, err := (&auth.Bootstrap{Store: store, Dir: dir, Now: time.Now}).Run(t.Context())
	if err != nil || !result.First || !strings.Contains(string(before), result.Secrets.APIKey) {
		t.Errorf("completed: %+v, %v", result, err)
	}
}

// failing loses the write of the key.
type failing struct{ *embedded.Store }

func (failing) CreateKey(context.Context, esh3ar.APIKey) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "power cut")
}

func TestGivenTokensAreUsed(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	result, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), AdminToken: "boss", APIKey: "k", Now: time.Now}).Run(t.Context())
	if err != nil || !result.Admin.Is("boss") {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, err := auth.NewKeys(store, time.Now).Authenticate(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestARevokedKeyEndsWithinASecond(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	now := time.Now()
	clock := func() time.Time { return now }
	business, key := esh3ar.NewBusinessID(), auth.NewKeys(nil, time.Now).NewKey()
	record := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: business, Hash: auth.HashOf(key), CreatedAt: esh3ar.TimeOf(now)}
	for _, err := range []error{
		store.CreateBusiness(t.Context(), esh3ar.Business{ID: business, Name: "Bank"}), store.CreateKey(t.Context(), record),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	keys, here := auth.NewKeys(store, clock), auth.NewKeys(store, clock)
	for _, k := range []*auth.Keys{keys, here} {
		if _, err := k.Authenticate(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.RevokeKey(t.Context(), business, record.ID, esh3ar.TimeOf(now)); err != nil {
		t.Fatal(err)
	}
	here.ForgetID(record.ID)
	if _, err := here.Authenticate(t.Context(), key); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("on the revoking node at once: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := keys.Authenticate(t.Context(), key); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("elsewhere after a second: %v", err)
	}
}

func TestAStoreThatCannotAnswerIsNoBadKey(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(away{}, time.Now)
	if _, err := keys.Authenticate(t.Context(), "k"); esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
		t.Errorf("error %v", err)
	}
}

type away struct{ esh3ar.AccountStore }

func (away) KeyByHash(context.Context, esh3ar.KeyHash) (esh3ar.APIKey, error) {
	return esh3ar.APIKey{}, context.DeadlineExceeded
}

func TestTokensEndAndAreNotForged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := auth.NewTokens(auth.NewSigningKey(), func() time.Time { return now })
	token, expires, err := tokens.Mint(967771234567, "phone", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := tokens.Verify(token); err != nil || d.ID != "phone" || !d.Expires.Equal(expires) {
		t.Errorf("%+v, %v", d, err)
	}
	other := auth.NewTokens(auth.NewSigningKey(), time.Now)
	for name, bad := range map[string]string{
		"empty": "", "cut": token[:len(token)-3], "no algorithm": "eyJhbGciOiJub25lIn0.e30.",
		"other key": must(other.Mint(967771234567, "phone", time.Minute)),
	} {
		if _, err := tokens.Verify(bad); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	now = expires.Add(time.Second)
	if _, err := tokens.Verify(token); err == nil {
		t.Error("an expired token passed")
	}
}

func must(token string, _ time.Time, err error) string {
	if err != nil {
		panic(err)
	}
	return token
}

func TestADamagedAdminHashIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	if _, err := store.InitSetting(t.Context(), "admin-token-sha256", []byte("short")); err != nil {
		t.Fatal(err)
	}
	_, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
}
