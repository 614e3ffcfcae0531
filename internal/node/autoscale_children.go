package node

import (
	"errors"
	"slices"
	"time"

	"github.com/alecthomas/kong"
)

// theirs are the flags of a child that its parent chooses, or that make no sense for one.
var theirs = []string{"listen", "data-dir", "node-id", "role", "autoscale"}

// checkChildren names the first flag of the nodes that are to be started whose value cannot work: each of them would end at once,
// and be started again.
func checkChildren(args []string) error {
	c, given, err := parseServe(args)
	if err != nil {
		return err
	}
	for _, flag := range given {
		if slices.Contains(theirs, flag) {
			return errors.New("--" + flag + ": is chosen by the target")
		}
	}
	if len(c.Args) > 0 {
		return errors.New("unexpected argument " + c.Args[0])
	}
	return errors.Join(c.capacityFlags.check(), c.checkNumbers())
}

// drainWithin is how long children with these flags, and this environment, may take to end: what they give themselves, and time
// for what they do after it.
func drainWithin(args []string) time.Duration {
	c, _, err := parseServe(args, kong.DefaultEnvars("ESH3AR"))
	if err != nil { // the environment is wrong: that is for the child to say
		return 0
	}
	return c.ShutdownTimeout + 40*time.Second
}

// parseServe reads flags of serve, and tells which were given.
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
