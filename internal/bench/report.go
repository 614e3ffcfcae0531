package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

// Report is the result of a run.
type Report struct {
	Machine string   `json:"machine"`
	Command string   `json:"command,omitempty"` // arguments of the run without those for output
	Lowered []string `json:"lowered,omitempty"` // parameters reduced by system limits
	Notes   []string `json:"notes,omitempty"`
	Rows    []Row    `json:"rows"`
	Series  []Series `json:"series,omitempty"`
	Curves  []Curve  `json:"curves,omitempty"`
	Texts   []Text   `json:"texts,omitempty"`
	Faults  []string `json:"faults,omitempty"` // losses and reordering; any entry invalidates the run
}

// Row is one measured value, with its budget if it has one.
type Row struct {
	Scenario string   `json:"scenario"`
	What     string   `json:"what"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Budget   string   `json:"budget,omitempty"` // its number, such as B1
	Least    *float64 `json:"least,omitempty"`
	Aim      *float64 `json:"aim,omitempty"`
	More     bool     `json:"more,omitempty"` // more is better

	Spread *rounds.Spread `json:"spread,omitempty"` // interval around Value; nil for a single measurement
	Rounds []float64      `json:"rounds,omitempty"` // values of the rounds
}

// Series is a value over time.
type Series struct {
	Scenario string    `json:"scenario"`
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	Every    float64   `json:"everySeconds"`
	Values   []float64 `json:"values"`
}

// Text is preformatted text after the table.
type Text struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

func (r *Report) add(scenario, what string, value float64, unit string) {
	r.Rows = append(r.Rows, Row{Scenario: scenario, What: what, Value: value, Unit: unit})
}

func (r *Report) budget(scenario, what string, value float64, unit, budget string, least, aim float64, more bool) {
	r.Rows = append(r.Rows, Row{Scenario: scenario, What: what, Value: value, Unit: unit, Budget: budget, Least: &least, Aim: &aim, More: more})
}

// spread sets the rounds of the last row.
func (r *Report) spread(values []float64) {
	s := rounds.Of(values)
	last := &r.Rows[len(r.Rows)-1]
	last.Spread, last.Rounds = &s, values
}

// addRounds adds the median of the values of all rounds.
func (r *Report) addRounds(scenario, what string, values []float64, unit string) {
	r.add(scenario, what, rounds.Of(values).Median, unit)
	r.spread(values)
}

// addRatio adds the median of a[i]/b[i] with a budget, of which less is better; least is 0 if there is none.
func (r *Report) addRatio(scenario, what string, a, b []float64, budget string, least, aim float64) {
	ratios := rounds.Ratios(a, b)
	if least == 0 {
		r.addRounds(scenario, what, ratios, "")
		return
	}
	r.budget(scenario, what, rounds.Of(ratios).Median, "", budget, least, aim, false)
	r.spread(ratios)
}

// Verdict returns how a value compares with its budget.
func (r Row) Verdict() string {
	if r.Least == nil {
		return ""
	}
	better := func(bound float64) bool { return r.Value >= bound == r.More || r.Value == bound }
	switch {
	case better(*r.Aim):
		return "aim met"
	case better(*r.Least):
		return "met"
	default:
		return notMet
	}
}

// Missed returns the values that do not meet their budget.
func (r *Report) Missed() (missed []string) {
	for _, row := range r.Rows {
		if row.Verdict() == notMet {
			missed = append(missed, fmt.Sprintf("%s (%s, %s): %s %s", row.Budget, row.Scenario, row.What, Number(row.Value), row.Unit))
		}
	}
	return missed
}

// notMet is the verdict on a figure that is worse than the least of its budget.
const notMet = "NOT met"

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores shared by load and server, loopback", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// print writes the table.
func (r *Report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", r.Machine)
	for _, text := range r.Lowered {
		fmt.Fprintf(w, "lowered: %s\n", text)
	}
	for _, text := range r.Notes {
		fmt.Fprintf(w, "%s\n", text)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\twhat\tmeasured\tleast\taim\tbudget\tverdict")
	for _, row := range r.Rows {
		least, aim := "", ""
		if row.Least != nil {
			least, aim = Number(*row.Least), Number(*row.Aim)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Scenario, row.What, row.Measured(), least, aim, row.Budget, row.Verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, text := range r.Texts {
		fmt.Fprintf(w, "\n%s\n", text.Title)
		for _, line := range text.Lines {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(w, "FAULT: %s\n", fault)
	}
	return nil
}

// Measured returns the value with its unit, and with the interval if there is one.
func (r Row) Measured() string {
	if r.Spread == nil || r.Spread.Rounds < 2 {
		return Number(r.Value) + " " + r.Unit
	}
	return fmt.Sprintf("%s (%s to %s) %s", Number(r.Value), Number(r.Spread.Low), Number(r.Spread.High), r.Unit)
}

// Number formats a value with three significant digits.
func Number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// WriteJSON writes the report to a file, or to stdout if name is "-".
func (r *Report) WriteJSON(name string, stdout io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if name == "-" {
		_, err = stdout.Write(text)
		return err
	}
	return os.WriteFile(name, text, 0o600)
}
