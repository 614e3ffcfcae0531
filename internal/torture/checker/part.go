package checker

import (
	"cmp"
	"slices"
)

// Part counts the faults of one part of the fleet.
type Part struct {
	Name   string `json:"name"`
	Kills  int    `json:"kills,omitempty"`
	Pauses int    `json:"pauses,omitempty"`
	Cuts   int    `json:"cuts,omitempty"`
	Wipes  int    `json:"wipes,omitempty"`
}

// suffers counts a fault entry.
func (v *Verdict) suffers(e *Entry) {
	part := v.part(e.Part)
	switch e.Kind {
	case Killed:
		v.Kills++
		part.Kills++
	case Paused:
		v.Pauses++
		part.Pauses++
	case Cut:
		v.Cuts++
		part.Cuts++
	default:
		v.Wipes++
		part.Wipes++
	}
}

// part returns the part with a name and adds it if necessary.
func (v *Verdict) part(name string) *Part {
	i, found := slices.BinarySearchFunc(v.Parts, name, func(p Part, name string) int { return cmp.Compare(p.Name, name) })
	if !found {
		v.Parts = slices.Insert(v.Parts, i, Part{Name: name})
	}
	return &v.Parts[i]
}

func (v *Verdict) addParts(list []Part) {
	for _, p := range list {
		part := v.part(p.Name)
		part.Kills += p.Kills
		part.Pauses += p.Pauses
		part.Cuts += p.Cuts
		part.Wipes += p.Wipes
	}
}
