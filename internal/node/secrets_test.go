package node

import (
	"strings"
	"testing"
)

func TestStrong_LengthAndVariety_Decide(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]bool{
		"test-admin-token-0123456789abcdef":            true,
		"0123456789abcdef":                             true,
		"8c1f0e5a7b92d364":                             true, // openssl rand -hex 8
		"9385017264150938":                             true,
		"esa_oa8lYvlhCmrcnt6l8c87XpueTkTej8Zf2oVJbgay": true,
		"0123456789abcde":                              false, // 15 characters
		"x":                                            false,
		strings.Repeat("a", 64):                        false,
		strings.Repeat("ab", 32):                       false,
		strings.Repeat("a", 32) + strings.Repeat("b", 32): false,
		"aaaaaaaaaaaaabcdef":                              false,
		strings.Repeat("0123456789", 4):                   false,
		"passwordpassword":                                false,
		"changeme-changeme":                               false,
		"adminadminadminadminadmin":                       false,
	} {
		if got := strong(secret); got != want {
			distinct, bits := secretBits(secret[:period(secret)])
			t.Errorf("strong(%q) is %t, want %t (%d distinct, %.1f bits)", secret, got, want, distinct, bits)
		}
	}
}
