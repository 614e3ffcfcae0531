package checker

// Verdict is the result of the checks.
type Verdict struct {
	Rounds int `json:"rounds"` // completed rounds
	Kills  int `json:"kills"`
	Pauses int `json:"pauses"`
	Cuts   int `json:"cuts"`  // link faults
	Wipes  int `json:"wipes"` // flushes of Redis

	Parts []Part `json:"parts"` // faults by part

	Accepted   int `json:"accepted"`   // messages
	Spilled    int `json:"spilled"`    // accepted messages that were in a spill first
	Duplicates int `json:"duplicates"` // spilled messages canceled because another call owned the key
	Unknown    int `json:"unknown"`    // messages of calls without an answer
	Refused    int `json:"refused"`    // messages of refused calls
	Mismatched int `json:"mismatched"` // messages whose key belonged to another body
	Again      int `json:"again"`      // messages whose keyed call was answered more than once
	Scheduled  int `json:"scheduled"`  // messages with a send time
	Mortal     int `json:"mortal"`     // messages with a time to live
	Cancels    int `json:"cancels"`    // cancel calls
	Replays    int `json:"replays"`    // lives beyond the first

	Received int `json:"received"` // first deliveries
	Repeats  int `json:"repeats"`
	Syncs    int `json:"syncs"`
	Tripped  int `json:"tripped"` // observations of an open device breaker

	Delivered int `json:"delivered"` // messages that ended so
	Read      int `json:"read"`
	Expired   int `json:"expired"`
	Canceled  int `json:"canceled"`
	Failed    int `json:"failed"`
	Dead      int `json:"dead"` // dead letters at the end of their round

	Consumers []Consumer `json:"consumers"`
	Keys      Checked    `json:"keys"`
	Inboxes   Checked    `json:"inboxes"`

	Lost     int      `json:"lost"`
	Breaches int      `json:"breaches"`         // broken promises, losses included
	Broken   []string `json:"broken,omitempty"` // first breaches, with the traces of their messages
}

// Consumer counts what one event consumer saw.
type Consumer struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Events      int    `json:"events"` // first sightings
	Repeats     int    `json:"repeats"`
}

// Checked counts the histories that were checked for linearizability.
type Checked struct {
	Histories  int `json:"histories"`
	Operations int `json:"operations"`
	LeftOut    int `json:"leftOut"`   // operations beyond the bound of one history
	Undecided  int `json:"undecided"` // histories not decided in time
}

func (c *Checked) add(other Checked) {
	c.Histories += other.Histories
	c.Operations += other.Operations
	c.LeftOut += other.LeftOut
	c.Undecided += other.Undecided
}

// Clean reports whether every promise was kept and every check was decided.
func (v *Verdict) Clean() bool { return v.Breaches == 0 && v.Undecided() == 0 }

// Undecided counts the histories that were neither accepted nor refused.
func (v *Verdict) Undecided() int { return v.Keys.Undecided + v.Inboxes.Undecided }

// MaxStories bounds the breaches that a verdict describes.
const MaxStories = 20

// Break adds a breach.
func (v *Verdict) Break(story string) {
	v.Breaches++
	if len(v.Broken) < MaxStories {
		v.Broken = append(v.Broken, story)
	}
}

// Add adds the verdict of a further round.
func (v *Verdict) Add(w *Verdict) {
	for _, pair := range [][2]*int{
		{&v.Rounds, &w.Rounds},
		{&v.Kills, &w.Kills},
		{&v.Pauses, &w.Pauses},
		{&v.Cuts, &w.Cuts},
		{&v.Wipes, &w.Wipes},
		{&v.Accepted, &w.Accepted},
		{&v.Spilled, &w.Spilled},
		{&v.Duplicates, &w.Duplicates},
		{&v.Unknown, &w.Unknown},
		{&v.Refused, &w.Refused},
		{&v.Mismatched, &w.Mismatched},
		{&v.Again, &w.Again},
		{&v.Scheduled, &w.Scheduled},
		{&v.Mortal, &w.Mortal},
		{&v.Cancels, &w.Cancels},
		{&v.Replays, &w.Replays},
		{&v.Received, &w.Received},
		{&v.Repeats, &w.Repeats},
		{&v.Syncs, &w.Syncs},
		{&v.Tripped, &w.Tripped},
		{&v.Delivered, &w.Delivered},
		{&v.Read, &w.Read},
		{&v.Expired, &w.Expired},
		{&v.Canceled, &w.Canceled},
		{&v.Failed, &w.Failed},
		{&v.Dead, &w.Dead},
		{&v.Lost, &w.Lost},
		{&v.Breaches, &w.Breaches},
	} {
		*pair[0] += *pair[1]
	}
	v.Keys.add(w.Keys)
	v.Inboxes.add(w.Inboxes)
	v.addConsumers(w.Consumers)
	v.addParts(w.Parts)
	v.Broken = append(v.Broken, w.Broken...)
	v.Broken = v.Broken[:min(len(v.Broken), MaxStories)]
}

func (v *Verdict) addConsumers(list []Consumer) {
	for _, c := range list {
		i := 0
		for i < len(v.Consumers) && v.Consumers[i].Name != c.Name {
			i++
		}
		if i == len(v.Consumers) {
			v.Consumers = append(v.Consumers, Consumer{Name: c.Name})
		}
		v.Consumers[i].Connections += c.Connections
		v.Consumers[i].Events += c.Events
		v.Consumers[i].Repeats += c.Repeats
	}
}
