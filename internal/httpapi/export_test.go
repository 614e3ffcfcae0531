package httpapi

// Codes returns the HTTP status of each problem code.
func Codes() map[string]int {
	codes := map[string]int{}
	for _, k := range allKinds() {
		codes[k.code] = k.status
	}
	return codes
}
