package httpapi

// What tests of the document need to see from inside.

// Codes gives the codes of all problems, with their statuses.
func Codes() map[string]int {
	codes := map[string]int{}
	for _, k := range all() {
		codes[k.code] = k.status
	}
	return codes
}
