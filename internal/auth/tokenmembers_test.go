package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
)

// TestTokens_DuplicateMember_Refused signs tokens that JSON decoders interpret differently, with the right key.
func TestTokens_DuplicateMember_Refused(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	key := auth.NewSigningKey()
	tokens := auth.NewTokens(key, func() time.Time { return now })
	const header, claims = `{"alg":"HS256","typ":"JWT"}`, `"sub":"+967771234567","did":"d","aud":"esh3ar-mobile","exp":1800003600`
	for _, c := range []struct {
		name, header, claims string
		good                 bool
	}{
		{"plain", header, `{` + claims + `}`, true},
		{"unknown claims", header, `{` + claims + `,"x":{"a":1,"b":[{"a":1},{"a":2}]},"a":1}`, true},
		{"sub twice", header, `{"sub":"+967771234568",` + claims + `}`, false},
		{"sub in another case", header, `{"SUB":"+967771234568",` + claims + `}`, false},
		{"sub escaped", header, `{"\u0073ub":"+967771234568",` + claims + `}`, false},
		{"the same value", header, `{` + claims + `,"did":"d"}`, false},
		{"within an object", header, `{` + claims + `,"x":{"a":1,"a":2}}`, false},
		{"within an array", header, `{` + claims + `,"x":[1,{"a":1,"a":2}]}`, false},
		{"alg twice", `{"alg":"none","alg":"HS256","typ":"JWT"}`, `{` + claims + `}`, false},
		{"typ twice", `{"alg":"HS256","typ":"JWS","typ":"JWT"}`, `{` + claims + `}`, false},
	} {
		_, err := tokens.Verify(signed(key, c.header, c.claims))
		if (err == nil) != c.good {
			t.Errorf("%s: got %v, want valid: %v", c.name, err, c.good)
		}
	}
}

func signed(key []byte, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
