package node

import (
	"errors"
	"slices"
	"time"

	"github.com/alecthomas/kong"
)

// reservedFlags are flags of child nodes that the autoscaler sets itself, or that make no sense for a child.
var reservedFlags = []string{"listen", "data-dir", "node-id", "role", "autoscale"}

// checkChildren returns an error that names the first invalid flag for child nodes. Without the check each child would exit at once and
// be started again.
func checkChildren(args []string) error {
	c, given, err := parseServe(args)
	if err != nil {
		return err
	}
	for _, flag := range given {
		if slices.Contains(reservedFlags, flag) {
			return errors.New("--" + flag + ": is set by the target")
		}
	}
	if len(c.Args) > 0 {
		return errors.New("unexpected argument " + c.Args[0])
	}
	return errors.Join(c.capacityFlags.check(), c.checkNumbers())
}

// drainWithin returns how long child nodes with these flags and this environment may take to stop: their shutdown timeout and a margin.
func drainWithin(args []string) time.Duration {
	c, _, err := parseServe(args, kong.DefaultEnvars("ESH3AR"))
	if err != nil { // the child reports an invalid environment itself
		return 0
	}
	return c.ShutdownTimeout + 40*time.Second
}

// parseServe parses flags of serve and returns the names of those that were given.
func parseServe(args []string, more ...kong.Option) (c *Config, given []string, err error) {
	c = &Config{}
	parser, err := kong.New(c, append(more, kong.NoDefaultHelp())...)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, nil, err
	}
	for _, step := range parsed.Path {
		if step.Flag != nil {
			given = append(given, step.Flag.Name)
		}
	}
	return c, given, nil
}
