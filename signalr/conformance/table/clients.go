package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// clients counts the cases that passed, by client and by transport with protocol. Names of those tests are
// "TestClients/signalr-10/WebSockets/json/what was shown"; those of the independent client lack the client.
func (r *testRun) clients(under string) map[string]map[string]int {
	counts := make(map[string]map[string]int)
	for t := range r.passed {
		parts := strings.Split(t.name, "/")
		if len(parts) == 4 && parts[0] == "TestIndependentClient" {
			parts = slices.Insert(parts, 1, "ngx-signalr-websocket")
		}
		if len(parts) != 5 || !strings.Contains(t.pkg, under) || !r.parentsPassed(t) {
			continue
		}
		if counts[parts[1]] == nil {
			counts[parts[1]] = make(map[string]int)
		}
		counts[parts[1]][parts[2]+"/"+parts[3]]++
	}
	return counts
}

var combinations = []string{"WebSockets/json", "WebSockets/messagepack", "ServerSentEvents/json", "LongPolling/json", "LongPolling/messagepack"}

// renderClients writes which client passed how many cases over what.
func renderClients(counts map[string]map[string]int, versions map[string]string) string {
	var b strings.Builder
	b.WriteString("## Clients\n\nCases passed, each run by the client itself: under Node, or in Chromium from a page of another origin.\n\n")
	b.WriteString("| client | " + strings.Join(combinations, " | ") + " |\n|---|" + strings.Repeat("---|", len(combinations)) + "\n")
	for _, client := range slices.Sorted(maps.Keys(counts)) {
		b.WriteString("| " + called(client, versions))
		for _, c := range combinations {
			if n := counts[client][c]; n > 0 {
				fmt.Fprintf(&b, " | %d", n)
			} else {
				b.WriteString(" | ")
			}
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// called is what a client is called where it can be had.
func called(client string, versions map[string]string) string {
	name, browser := strings.CutPrefix(client, "chromium-")
	text := strings.TrimPrefix(versions[name], "npm:")
	if text == "" || !strings.Contains(text, "@") {
		text = name + " " + text
	}
	if browser {
		text += ", Chromium"
	}
	return text
}
