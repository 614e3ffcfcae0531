package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// manifest is what of deploy/kubernetes/scaler.yaml the program has to understand.
type manifest struct {
	Kind  string            `yaml:"kind"`
	Data  map[string]string `yaml:"data"`
	Rules []struct {
		Resources []string `yaml:"resources"`
		Verbs     []string `yaml:"verbs"`
	} `yaml:"rules"`
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Args []string `yaml:"args"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// TestManifest_Flags_ExistInProgram holds the example for Kubernetes against flags, policy and calls.
func TestManifest_Flags_ExistInProgram(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/kubernetes/scaler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]manifest{}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[m.Kind] = m
	}
	if p, err := autoscale.ParsePolicy([]byte(found["ConfigMap"].Data["policy.yaml"])); err != nil || p.Min != 2 || p.Max != 20 {
		t.Errorf("policy: %+v %v", p, err)
	}
	rules := found["Role"].Rules
	if len(rules) != 1 || !slices.Equal(rules[0].Resources, []string{"statefulsets/scale"}) || !slices.Equal(rules[0].Verbs, []string{"get", "patch"}) {
		t.Errorf("role: %+v", rules)
	}
	var c commands
	parser, err := kong.New(&c, kong.Name("esh3ar"), kong.DefaultEnvars("ESH3AR"), kong.Configuration(loadConfig))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(found["Deployment"].Spec.Template.Spec.Containers[0].Args); err != nil {
		t.Fatal(err)
	}
	if c.Scaler.Target != "kubernetes" || c.Scaler.StatefulSet != "esh3ar" || c.Scaler.Policy != "/etc/esh3ar/policy.yaml" {
		t.Errorf("flags: %+v", c.Scaler)
	}
}
