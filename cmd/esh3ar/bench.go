package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/bench"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type benchCmd struct {
	Scenario    []string      `help:"accept, deliver, idle, latency, connections, reconnect, disk, growth, soak or overload; several with commas (default: all but growth, soak and overload)."`
	Overload    bool          `help:"The overload scenario alone: three SLA levels at twice the capacity."`
	Autoscale   bool          `help:"A cluster that scales itself follows a ramp of five stretches, on a PostgreSQL and a Redis of the bench's own: nodes, ledger and diary."`
	Capacity    float64       `help:"Messages per second that a node of --overload or --autoscale declares as its capacity (default: what it can; of --autoscale 300)."`
	Plot        string        `placeholder:"FILE" help:"Write the plot of --overload or --autoscale as SVG."`
	Duration    time.Duration `default:"10s" help:"Length of each measured stretch."`
	Warmup      time.Duration `default:"3s" help:"Before it, left out."`
	Rounds      int           `default:"3" help:"Rounds of floor and server in turn."`
	Phones      int           `help:"Connected phones (default: what the scenario's budget names)."`
	Callers     int           `help:"API connections (default: what the scenario's budget names)."`
	Rate        float64       `help:"Messages per second of latency (default: half of the saturation) and of connections (default: 80 % of the maximum)."`
	Stored      int           `help:"Messages of disk (default: 400,000), and the largest number of stored messages of growth (default: 1,000,000)."`
	Closed      bool          `help:"The latency scenario calls as fast as it is answered, not at a rate."`
	Versus      []string      `placeholder:"SYSTEM" help:"Compare with other systems in alternating rounds of one run: centrifugo (CPU per message), haproxy and nginx (CPU per call of the gateway), or the path of another build of esh3ar; several with commas."`
	Gateway     bool          `help:"The same as --versus nginx,haproxy."`
	Floor       bool          `help:"Measure the floor alone: a bare net/http handler under the same load."`
	Size        int           `default:"100" help:"Bytes of content."`
	Ack         string        `default:"invoke" help:"How phones acknowledge: invoke (with a completion) or send (without)."`
	Cluster     bool          `help:"Measure call to acknowledgement on a PostgreSQL and a Redis of the bench's own: CPU per message of each."`
	Nodes       int           `default:"1" help:"Nodes of --cluster; phones and callers go to them in turn."`
	Short       bool          `help:"A few seconds with few phones: whether it works, no figures, so no budget counts."`
	JSON        string        `name:"json" placeholder:"FILE" help:"Write the results as JSON; - for standard output."`
	FloorListen string        `hidden:"" help:"Be the floor on this address."`
}

func (c *benchCmd) Run(ctx context.Context, s node.Streams) error {
	if c.FloorListen != "" {
		return bench.RunBaseline(ctx, c.FloorListen)
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	return c.runAndReport(ctx, o, s)
}

// options returns the options of the run, checked.
func (c *benchCmd) options() (bench.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return bench.Options{}, err
	}
	o := bench.Options{
		Binary: self, Scenarios: c.Scenario, Duration: c.Duration, Warmup: c.Warmup, Rounds: c.Rounds, Phones: c.Phones,
		Callers: c.Callers, Rate: c.Rate, Closed: c.Closed, Floor: c.Floor, Size: c.Size, Ack: c.Ack,
		Plot: c.Plot, Capacity: c.Capacity, Versus: c.Versus, Stored: c.Stored,
	}
	if c.Gateway {
		o.Versus = append(o.Versus, "nginx", "haproxy")
	}
	if c.Overload {
		if len(c.Scenario) > 0 {
			return o, usage.Errorf("--overload: is a scenario of its own; leave --scenario out")
		}
		o.Scenarios = []string{bench.Overload}
	}
	if err := c.cluster(&o); err != nil {
		return o, err
	}
	if len(o.Versus) > 0 && (c.Overload || c.Cluster || c.Floor || len(c.Scenario) > 0) {
		return o, usage.Errorf("--versus: is measured alone; leave --scenario, --overload, --cluster and --floor out")
	}
	if c.Autoscale && (c.Overload || len(o.Versus) > 0 || c.Cluster || c.Floor || len(c.Scenario) > 0) {
		return o, usage.Errorf("--autoscale: is measured alone; leave --scenario, --overload, --versus, --gateway, --cluster and --floor out")
	}
	if c.Short {
		c.shorten(&o)
	}
	if err := o.Check(); err != nil {
		return o, usage.Wrap(err)
	}
	return o, nil
}

// runAndReport runs the benchmark, writes its report and returns an error if a budget or a check failed.
func (c *benchCmd) runAndReport(ctx context.Context, o bench.Options, s node.Streams) error {
	out := s.Out
	if c.JSON == "-" {
		out = s.Err // standard output holds the JSON document only
	}
	measure := bench.Run
	if len(o.Versus) > 0 {
		measure = bench.RunVersus
	}
	if c.Autoscale {
		measure = bench.RunAutoscale
	}
	report, err := measure(ctx, o, out, s.Err)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	report.Command = c.command()
	if c.JSON != "" {
		if err := report.WriteJSON(c.JSON, s.Out); err != nil {
			return err
		}
	}
	if len(report.Faults) > 0 {
		return errVerdict
	}
	if missed := report.Missed(); len(missed) > 0 && !c.Short { // the figures of a short run are not representative
		return fmt.Errorf("%w: %s", errBudget, strings.Join(missed, "; "))
	}
	return nil
}

// command returns the arguments of this run that determine what is measured.
func (c *benchCmd) command() string {
	args := []string{"esh3ar"}
	for i := 1; i < len(os.Args); i++ {
		switch arg := os.Args[i]; {
		case arg == "--json" || arg == "--plot":
			i++ // its value
		case strings.HasPrefix(arg, "--json=") || strings.HasPrefix(arg, "--plot="):
		default:
			args = append(args, arg)
		}
	}
	return strings.Join(args, " ")
}

// shorten reduces the options to a short run with few calls, which only shows that the scenario works.
func (c *benchCmd) shorten(o *bench.Options) {
	o.Duration = time.Second
	o.Warmup = 300 * time.Millisecond
	o.Rounds = 1
	o.Phones, o.Callers, o.Stored = 200, 50, 2000
	if c.Overload {
		o.Duration = 4 * time.Second
		o.Callers = 150 // long enough for calls to time out in the queue and be shed
	}
	if c.Autoscale {
		o.Duration = 5 * time.Second
		o.Phones = 40
		o.Callers = 300 // long enough for a node to be added
		o.Capacity = cmp.Or(o.Capacity, 50)
	}
}

// cluster runs its only scenario. The other scenarios measure a node with an embedded store.
func (c *benchCmd) cluster(o *bench.Options) error {
	switch {
	case !c.Cluster && c.Nodes != 1:
		return usage.Errorf("--nodes: needs --cluster")
	case !c.Cluster:
		return nil
	case c.Nodes < 1:
		return usage.Errorf("--nodes: must be at least 1")
	case c.Floor || len(c.Scenario) > 0 && !slices.Equal(c.Scenario, []string{bench.Deliver}):
		return usage.Errorf("--cluster: is the scenario %s; say no other", bench.Deliver)
	}
	o.Scenarios, o.Nodes = []string{bench.Deliver}, c.Nodes
	return nil
}
