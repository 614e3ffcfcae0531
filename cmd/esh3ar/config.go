package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configFile provides values of flags from a YAML file of `name: value` lines.
type configFile struct{ values map[string]any }

func loadConfig(r io.Reader) (kong.Resolver, error) {
	file := &configFile{}
	if err := yaml.NewDecoder(r).Decode(&file.values); err != nil && !errors.Is(err, io.EOF) {
		if strings.Contains(err.Error(), "cannot unmarshal") { // the error names Go types
			return nil, errors.New("--config: must be lines of NAME: VALUE")
		}
		return nil, fmt.Errorf("--config: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return file, nil
}

// Validate returns an error for names that are not a flag of any command, so that a typing mistake is not ignored.
func (f *configFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var collect func(*kong.Node)
	collect = func(n *kong.Node) {
		for _, flag := range n.Flags {
			known[flag.Name] = true
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(app.Node)
	var unknown []string
	for name := range f.values {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("--config: unknown name %s", strings.Join(unknown, ", "))
}

// Resolve returns the file's value of a flag unless the environment has one. Kong calls it only for flags that are not on the
// command line.
func (f *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	value, ok := f.values[flag.Name]
	if !ok {
		return nil, nil
	}
	switch value.(type) {
	case string, bool, int, float64:
		return fmt.Sprint(value), nil
	default:
		return nil, fmt.Errorf("--config: %s must be a single value", flag.Name)
	}
}
