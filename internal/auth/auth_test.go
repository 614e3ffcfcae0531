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

func TestBootstrap_FirstStart_CreatesSecretsOnce(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	b := auth.Bootstrap{Store: store, Dir: dir, Now: time.Now}
	first, err := b.Run(t.Context())
	if err != nil || !first.First || !first.Admin.Is(first.Secrets.AdminToken) || first.Admin.Is("x") {
		t.Fatalf("first start: got %+v, %v; want new secrets", first, err)
	}
	info, err := os.Stat(filepath.Join(dir, auth.BootstrapFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secrets file: got %v, %v; want mode 0600", info, err)
	}
	caller, err := auth.NewKeys(store, time.Now).Authenticate(t.Context(), first.Secrets.APIKey)
	if err != nil || caller.Name != "default" || caller.Business != first.Secrets.BusinessID {
		t.Errorf("got caller %+v, %v", caller, err)
	}
	// The operator has moved the file to a safe place.
	if err := os.Remove(filepath.Join(dir, auth.BootstrapFile)); err != nil {
		t.Fatal(err)
	}
	second, err := b.Run(t.Context())
	if err != nil || second.First || !second.Admin.Is(first.Secrets.AdminToken) {
		t.Errorf("second start: got %+v, %v; want the same admin token", second, err)
	}
	token, _, err := first.Tokens.Mint(967771234567, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if device, err := second.Tokens.Verify(token); err != nil || device.Recipient != 967771234567 || device.ID == "" {
		t.Errorf("token of the first start after the second: got %+v, %v", device, err)
	}
}

func TestBootstrap_FirstStartCrashed_IsCompletedWithSameSecrets(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	crashing := auth.Bootstrap{Store: failing{store}, Dir: dir, Now: time.Now}
	if _, err := crashing.Run(t.Context()); err == nil {
		t.Fatal("the first start succeeded, want an error")
	}
	before, err := os.ReadFile(filepath.Join(dir, auth.BootstrapFile))
	if err != nil {
		t.Fatal(err)
	}
	result, err := (&auth.Bootstrap{Store: store, Dir: dir, Now: time.Now}).Run(t.Context())
	if err != nil || !result.First || !strings.Contains(string(before), result.Secrets.APIKey) {
		t.Errorf("second start: got %+v, %v; want the secrets of the first", result, err)
	}
}

// failing is a store that fails to write API keys.
type failing struct{ *embedded.Store }

func (failing) CreateKey(context.Context, esh3ar.APIKey) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "power cut")
}

func TestBootstrap_GivenTokens_AreUsed(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	result, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), AdminToken: "boss", APIKey: "k", Now: time.Now}).Run(t.Context())
	if err != nil || !result.Admin.Is("boss") {
		t.Fatalf("got %+v, %v; want the given admin token", result, err)
	}
	if _, err := auth.NewKeys(store, time.Now).Authenticate(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestKeys_Revoked_EndsWithinASecond(t *testing.T) {
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
		t.Errorf("on the revoking node: got %v, want Unauthenticated", err)
	}
	now = now.Add(time.Second)
	if _, err := keys.Authenticate(t.Context(), key); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("on another node after a second: got %v, want Unauthenticated", err)
	}
}

func TestKeys_StoreFails_IsNotUnauthenticated(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(unavailableStore{}, time.Now)
	if _, err := keys.Authenticate(t.Context(), "k"); esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
		t.Errorf("got %v, want StoreUnavailable", err)
	}
}

// unavailableStore is a store that does not answer.
type unavailableStore struct{ esh3ar.AccountStore }

func (unavailableStore) KeyByHash(context.Context, esh3ar.KeyHash) (esh3ar.APIKey, error) {
	return esh3ar.APIKey{}, context.DeadlineExceeded
}

func TestTokens_ExpiredOrForged_AreRejected(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := auth.NewTokens(auth.NewSigningKey(), func() time.Time { return now })
	token, expires, err := tokens.Mint(967771234567, "phone", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := tokens.Verify(token); err != nil || d.ID != "phone" || !d.Expires.Equal(expires) {
		t.Errorf("got %+v, %v", d, err)
	}
	other := auth.NewTokens(auth.NewSigningKey(), time.Now)
	for name, bad := range map[string]string{
		"empty": "", "cut": token[:len(token)-3], "no algorithm": "eyJhbGciOiJub25lIn0.e30.",
		"other key": must(other.Mint(967771234567, "phone", time.Minute)),
	} {
		if _, err := tokens.Verify(bad); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
			t.Errorf("%s: got %v, want Unauthenticated", name, err)
		}
	}
	now = expires.Add(time.Second)
	if _, err := tokens.Verify(token); err == nil {
		t.Error("expired token was accepted")
	}
}

func must(token string, _ time.Time, err error) string {
	if err != nil {
		panic(err)
	}
	return token
}

func TestBootstrap_DamagedAdminHash_ReturnsError(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	if _, err := store.InitSetting(t.Context(), "admin-token-sha256", []byte("short")); err != nil {
		t.Fatal(err)
	}
	_, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got error %v, want one about a damaged setting", err)
	}
}
