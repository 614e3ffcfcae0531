package auth_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// TestRedirectToken: a token for another node opens connections for a minute, goes with what it has opened until the
// device's own token ends, and is no longer life for who has it.
func TestRedirectToken(t *testing.T) {
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
	if err != nil || device.Sent {
		t.Fatal(device, err)
	}
	device.Sent = true // which is what the redirect's token says besides
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
			t.Errorf("after %s it opens: %v", step.after, err)
		}
		if err == nil && got != device {
			t.Errorf("%+v, want %+v", got, device)
		}
		if got, err = tokens.VerifyOpen(redirect); (err == nil) != step.works {
			t.Errorf("after %s it goes with what is open: %v", step.after, err)
		}
		if err == nil && !got.Expires.Equal(ends) {
			t.Errorf("the connection ends at %s, the device's token at %s", got.Expires, ends)
		}
	}
}
