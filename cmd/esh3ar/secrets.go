package main

// checkSecrets names the flag of a secret that no caller could send: one with the end of a line, as files have it, would be kept for
// good and fit nobody.
func checkSecrets(adminToken, apiKey string) error {
	for _, flag := range []struct{ name, value string }{{"--admin-token", adminToken}, {"--api-key", apiKey}} {
		for _, r := range flag.value {
			if r <= ' ' || r > '~' {
				return usagef("%s: must be visible ASCII characters without spaces and line ends: it stands in a header", flag.name)
			}
		}
	}
	return nil
}
