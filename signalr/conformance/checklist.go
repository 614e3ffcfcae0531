// Package conformance knows the checklist of what a SignalR server has to do, and its tests hold package signalr to it
// with the clients that are in use: every generation of Microsoft's under Node and in Chromium, an independent one, and
// bare sockets for what no polite client sends.
//
// A test says in its name what it proves, or in its attribute where it has no name of its own:
//
//	t.Run("item51 the first poll answers at once", …)
//	t.Attr("checklist", "item51")
//
// That counts where the test ran and passed. The program in table reads this from the test run and writes docs/signalr-conformance.md; nothing in there is
// marked by hand.
//
// It holds no code of the server, and nothing but tests imports it. Nothing here runs concurrently but the tests.
package conformance

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

var (
	//go:embed checklist.txt
	text string
	//go:embed clients/package.json
	packages []byte
)

// Section is a part of the checklist.
type Section struct {
	Letter, Title string
	Items         []Item
}

// Item is one demand.
type Item struct {
	Name     string // as tests name it: "item51", "point3"
	Priority Priority
	Text     string
}

// Priority says what depends on an item.
type Priority string

// Priorities. Of the items of the first two each must be proven.
const (
	Must     Priority = "M" // a real client breaks or data is lost without it
	Parity   Priority = "P" // Microsoft's server does so, applications can notice
	Optional Priority = "O"
)

// Checklist reads the list that this package carries.
func Checklist() ([]Section, error) {
	var sections []Section
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if len(key) == 1 && key[0] >= 'A' {
			sections = append(sections, Section{Letter: key, Title: rest})
			continue
		}
		priority, words, _ := strings.Cut(rest, " ")
		item := Item{Name: key, Priority: Priority(priority), Text: words}
		if key[0] <= '9' {
			item.Name = "item" + key
		}
		switch item.Priority {
		case Must, Parity, Optional:
		default:
			return nil, fmt.Errorf("checklist: line %q has no priority", line)
		}
		last := &sections[len(sections)-1]
		last.Items = append(last.Items, item)
	}
	return sections, nil
}

// Clients returns the package and version behind the name of each client and whatever else the cases load.
func Clients() (map[string]string, error) {
	var file struct{ Dependencies map[string]string }
	if err := json.Unmarshal(packages, &file); err != nil {
		return nil, fmt.Errorf("clients/package.json: %w", err)
	}
	return file.Dependencies, nil
}
