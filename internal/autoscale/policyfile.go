package autoscale

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/esh3artech/esh3ar/internal/duration"
)

// ParsePolicy parses a policy in YAML or JSON. Omitted fields have the values of Default. The error names every field that is
// unknown, of the wrong type or out of bounds.
func ParsePolicy(text []byte) (Policy, error) {
	p := Default()
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) { // only comments
		return p, nil
	} else if err != nil {
		return p, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	r := reader{}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		r.fault("policy", &more, "must be one document")
	}
	r.object("", doc.Content[0], fields{
		"min": r.integer(&p.Min), "max": r.integer(&p.Max), "metrics": r.rules(&p.Rules),
		"up": r.pace(&p.Up), "down": r.pace(&p.Down), "maxIneffectiveSteps": r.integer(&p.MaxIneffectiveSteps), "retry": r.duration(&p.Retry),
	})
	if len(r.faults) > 0 {
		return p, errors.Join(r.faults...)
	}
	return p, p.Validate()
}

// MarshalJSON writes the policy in the form that ParsePolicy reads.
func (p Policy) MarshalJSON() ([]byte, error) {
	type object = map[string]any
	var rules []object
	for _, r := range p.Rules {
		rules = append(rules, object{"metric": r.Metric, "target": r.Target, "window": r.Window.String()})
	}
	pace := func(p StepRules) object {
		return object{"stabilizationWindow": p.StabilizationWindow.String(), "step": p.Step, "percent": p.Percent, "cooldown": p.Cooldown.String(), "tolerance": p.Tolerance}
	}
	return json.Marshal(object{
		"min": p.Min, "max": p.Max, "metrics": rules, "up": pace(p.Up), "down": pace(p.Down), "maxIneffectiveSteps": p.MaxIneffectiveSteps, "retry": p.Retry.String(),
	})
}

// reader walks a document and collects its errors.
type reader struct{ faults []error }

// field reads the value of one field; at is its path.
type field func(at string, n *yaml.Node)

type fields map[string]field

func (r *reader) fault(at string, n *yaml.Node, want string) {
	r.faults = append(r.faults, fmt.Errorf("%s: line %d: %s", at, n.Line, want))
}

func (r *reader) object(at string, n *yaml.Node, known fields) {
	if n.Kind != yaml.MappingNode {
		r.fault(strings.TrimSuffix("policy."+at, "."), n, "must be names with values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		switch read, ok := known[name]; {
		case !ok:
			r.fault(at+name, n.Content[i], "is not a field")
		case seen[name]:
			r.fault(at+name, n.Content[i], "is there twice")
		default:
			read(at+name, value)
		}
		seen[name] = true
	}
}

func (r *reader) pace(into *StepRules) field {
	return func(at string, n *yaml.Node) {
		r.object(at+".", n, fields{
			"stabilizationWindow": r.duration(&into.StabilizationWindow), "step": r.integer(&into.Step), "percent": r.integer(&into.Percent),
			"cooldown": r.duration(&into.Cooldown), "tolerance": r.number(&into.Tolerance),
		})
	}
}

func (r *reader) rules(into *[]Rule) field {
	return func(at string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fault(at, n, "must be a list")
			return
		}
		*into = nil
		for i, item := range n.Content {
			rule := Rule{Window: Default().Rules[0].Window}
			r.object(fmt.Sprintf("%s[%d].", at, i), item, fields{
				"metric": r.metric(&rule.Metric), "target": r.number(&rule.Target), "window": r.duration(&rule.Window),
			})
			*into = append(*into, rule)
		}
	}
}

func (r *reader) metric(into *Metric) field {
	return func(_ string, n *yaml.Node) { *into = Metric(n.Value) }
}

func (r *reader) integer(into *int) field {
	return func(at string, n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode {
			r.fault(at, n, fmt.Sprintf("%q is not a whole number", n.Value))
		}
		*into = v
	}
}

func (r *reader) number(into *float64) field {
	return func(at string, n *yaml.Node) {
		v, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Kind != yaml.ScalarNode {
			r.fault(at, n, fmt.Sprintf("%q is not a number", n.Value))
		}
		*into = v
	}
}

func (r *reader) duration(into *time.Duration) field {
	return func(at string, n *yaml.Node) {
		v, err := duration.Parse(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode {
			r.fault(at, n, fmt.Sprintf("%q is not a time such as 30s or 5m", n.Value))
		}
		*into = v
	}
}
