package autoscale_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

func TestDefault_Validate_Passes(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

func TestParsePolicy_Table(t *testing.T) {
	t.Parallel()
	got, err := autoscale.ParsePolicy([]byte(`
min: 2
max: 40
metrics:
  - {metric: load, target: 0.7}
  - {metric: waiting, target: 500, window: 1m}
up: {step: 2, percent: 50, cooldown: 10s, stabilizationWindow: 15s, tolerance: 0.05}
down: {stabilizationWindow: 10m}
maxIneffectiveSteps: 3
retry: 20m
`))
	if err != nil {
		t.Fatal(err)
	}
	want := autoscale.Default()
	want.Min = 2
	want.Max = 40
	want.MaxIneffectiveSteps = 3
	want.Retry = 20 * time.Minute
	want.Rules = []autoscale.Rule{{Metric: autoscale.Load, Target: 0.7, Window: 30 * time.Second}, {Metric: autoscale.Waiting, Target: 500, Window: time.Minute}}
	want.Up = autoscale.StepRules{StabilizationWindow: 15 * time.Second, Step: 2, Percent: 50, Cooldown: 10 * time.Second, Tolerance: 0.05}
	want.Down.StabilizationWindow = 10 * time.Minute
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := autoscale.ParsePolicy(text); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("written and read again: %+v %v\n%s", again, err, text)
	}
}

func TestParsePolicy_OnlyComments_IsDefault(t *testing.T) {
	t.Parallel()
	if got, err := autoscale.ParsePolicy([]byte("# nothing\n")); err != nil || !reflect.DeepEqual(got, autoscale.Default()) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestParsePolicy_InvalidField_IsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"minn: 2":                              "minn: line 1: is not a field",
		"min: two":                             `min: line 1: "two" is not a whole number`,
		"min: 0":                               "min: 0 is not 1 to 1000",
		"min: 5\nmax: 4":                       "max: 4 is not min (5) to 1000",
		"metrics: load":                        "metrics: line 1: must be a list",
		"metrics: []":                          "metrics: must name at least one",
		"metrics: [{metric: cpu, target: 1}]":  `metrics[0].metric: "cpu" is not load, waiting or connections`,
		"metrics: [{metric: load, target: 2}]": "metrics[0].target: 2 is not above 0 and at most 1",
		"metrics: [{metric: load, target: .nan}]":                             `metrics[0].target: line 1: ".nan" is not a number`,
		"metrics: [{metric: load, target: NaN}]":                              "metrics[0].target: NaN is not above 0",
		"metrics: [{metric: waiting}]":                                        "metrics[0].target: 0 is not above 0",
		"metrics: [{metric: load, target: 0.5}, {metric: load, target: 0.6}]": `metrics[1].metric: "load" is there twice`,
		"metrics: [{metric: load, target: 0.5, window: 1h}]":                  "metrics[0].window: 1h0m0s is not 0s to 10m0s",
		"metrics: [{metric: load, target: 0.5, windw: 1h}]":                   "metrics[0].windw: line 1: is not a field",
		"up: {cooldown: 30}":                                                  `up.cooldown: line 1: "30" is not a time such as 30s or 5m`,
		"up: 3":                                                               "up: line 1: must be names with values",
		"down: {stabilizationWindow: -5m}":                                    "down.stabilizationWindow: -5m0s is not 0s to 1h0m0s",
		"down: {tolerance: 1}":                                                "down.tolerance: 1 is not 0 to below 1",
		"up: {step: 0, percent: 0}":                                           "up.step: with percent 0 too nothing would ever move",
		"up: {percent: 2000}":                                                 "up.percent: 2000 is not 0 to 1000",
		"down: {step: -1}":                                                    "down.step: -1 is not 0 to 1000",
		"maxIneffectiveSteps: 0":                                              "maxIneffectiveSteps: 0 is not 1 to 10",
		"retry: 1s":                                                           "retry: 1s is not 1m0s to 24h0m0s",
		"[1, 2]":                                                              "policy: line 1: must be names with values",
		"min: 1\n\tmax: 2":                                                    "line 2",
		"min: {a: 1}":                                                         "min: line 1",
		"min: 2\nmax: 5\nmin: 3":                                              "min: line 3: is there twice",
		"up: {step: 1, step: 2}":                                              "up.step: line 1: is there twice",
		"min: 2\n---\nmax: 5":                                                 "policy: line 2: must be one document",
		"min: 0\nmax: 5000\nretry: 1s":                                        "max: 5000",
	} {
		_, err := autoscale.ParsePolicy([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("min: 2\nmetrics: [{metric: load, target: 0.5}]\nup: {step: 1}"))
	f.Add([]byte("- 1\n"))
	f.Add([]byte("up: *a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := autoscale.ParsePolicy(text)
		if err == nil && p.Validate() != nil {
			t.Errorf("%q is taken and not valid: %v", text, p.Validate())
		}
	})
}
