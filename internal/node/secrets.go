package node

import (
	"math"

	"github.com/esh3artech/esh3ar/internal/usage"
)

// CheckSecrets returns a usage error for a secret that no caller could send in a header, such as one with a trailing line break.
func CheckSecrets(adminToken, apiKey string) error {
	for _, flag := range []struct{ name, value string }{{"--admin-token", adminToken}, {"--api-key", apiKey}} {
		for _, r := range flag.value {
			if r <= ' ' || r > '~' {
				return usage.Errorf("%s: must be visible ASCII characters without spaces and line ends: it stands in a header", flag.name)
			}
		}
	}
	return nil
}

// Bounds of a secret that an operator chooses. The store holds its plain SHA-256, which protects only what cannot be guessed.
const (
	minSecretLength   = 16 // characters
	minSecretDistinct = 6  // different characters
	minSecretBits     = 36 // see secretBits: ten digits that repeat have 33, 16 random digits about 45
)

// checkStrength returns an error that names the flag of a secret that is easy to guess.
func checkStrength(adminToken, apiKey string) error {
	for _, flag := range []struct{ name, value string }{{"--admin-token", adminToken}, {"--api-key", apiKey}} {
		if flag.value != "" && !strong(flag.value) {
			return usage.Errorf("%s: too easy to guess: give at least %d characters without a pattern, such as the output of `openssl rand -hex 32`, or leave it out: the first start makes one",
				flag.name, minSecretLength)
		}
	}
	return nil
}

// strong reports whether a secret is long and varied enough. It finds short and repetitive secrets, not words of a dictionary.
func strong(secret string) bool {
	distinct, bits := secretBits(secret[:period(secret)])
	return len(secret) >= minSecretLength && distinct >= minSecretDistinct && bits >= minSecretBits
}

// secretBits returns the number of different bytes in text, and the entropy of their frequencies over the whole text: an upper
// bound of the entropy of text in bits.
func secretBits(text string) (distinct int, bits float64) {
	var count [256]int
	for i := range len(text) {
		count[text[i]]++
	}
	for _, n := range count {
		if n > 0 {
			distinct++
			bits += float64(n) * math.Log2(float64(len(text))/float64(n))
		}
	}
	return distinct, bits
}

// period returns the length of the shortest beginning of text that gives text when it is repeated; the last repetition may be cut.
// It is the length of text if nothing repeats.
func period(text string) int {
	for n := 1; n < len(text); n++ {
		if text[n:] == text[:len(text)-n] {
			return n
		}
	}
	return len(text)
}
