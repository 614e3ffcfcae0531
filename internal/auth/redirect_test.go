package auth_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// TestTokens_Redirect_OpensConnectionsForAMinute: a redirect token opens connections for a minute. For connections that are
// open then, it is valid until the device's own token expires, and it does not extend that.
func TestTokens_Redirect_OpensConnectionsForAMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	tokens := auth.NewTokens(auth.NewSigningKey(), func() time.Time { return now })
	own, ends, err := tokens.Mint(esh3ar.Recipient(967771234567), "tablet", 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	device, err := tokens.Verify(own)
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := tokens.Redirect(device)
	if err != nil || device.Redirected {
		t.Fatal(device, err)
	}
	device.Redirected = true // the redirect token adds this
	for _, step := range []struct {
		after        time.Duration
		opens, works bool
	}{
		{0, true, true},
		{auth.ConnectWithin - time.Second, true, true},
		{auth.ConnectWithin, false, true},
		{10*time.Minute - time.Second, false, true},
		{10 * time.Minute, false, false},
	} {
		now = time.Unix(1_800_000_000, 0).Add(step.after)
		got, err := tokens.Verify(redirect)
		if (err == nil) != step.opens {
			t.Errorf("Verify after %s: got %v, want valid: %v", step.after, err, step.opens)
		}
		if err == nil && got != device {
			t.Errorf("got %+v, want %+v", got, device)
		}
		if got, err = tokens.VerifyOpen(redirect); (err == nil) != step.works {
			t.Errorf("VerifyOpen after %s: got %v, want valid: %v", step.after, err, step.works)
		}
		if err == nil && !got.Expires.Equal(ends) {
			t.Errorf("got expiry %s, want that of the device's own token, %s", got.Expires, ends)
		}
	}
}
