package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/autoscale/command"
	"github.com/esh3artech/esh3ar/internal/autoscale/kubernetes"
	"github.com/esh3artech/esh3ar/internal/autoscale/processes"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// ScaleFlags are the flags of autoscaling, shared by the commands serve and scaler.
type ScaleFlags struct {
	Policy      string        `name:"policy" placeholder:"FILE" help:"YAML or JSON file with min, max, metrics, up, down, maxIneffectiveSteps, retry (default: 1 to 10 nodes, load 0.8)."`
	Target      string        `name:"target" default:"processes" enum:"processes,kubernetes,command" help:"What starts and stops nodes: processes of this machine, kubernetes, or a command."`
	Every       time.Duration `name:"every" default:"5s" help:"Interval between decisions."`
	DryRun      bool          `name:"dry-run" help:"Record decisions without carrying them out."`
	StatefulSet string        `name:"statefulset" default:"esh3ar" help:"For the target kubernetes: name of the StatefulSet of the nodes."`
	Namespace   string        `name:"namespace" help:"For the target kubernetes: namespace of the StatefulSet (default: that of this pod)."`
}

// ScalePlan is the checked content of ScaleFlags.
type ScalePlan struct {
	flags  *ScaleFlags
	policy autoscale.Policy
	args   []string // arguments of the target

	shutdownTimeout time.Duration // of the nodes that the target processes starts; 0 means the default
}

// Plan checks the flags, whose names begin with prefix. It reads the policy file and changes nothing.
func (f *ScaleFlags) Plan(prefix string, args []string) (*ScalePlan, error) {
	if f.Every < time.Second || f.Every > time.Minute {
		return nil, usage.Errorf("--%severy: %s is not 1s to 1m", prefix, f.Every)
	}
	p := &ScalePlan{flags: f, policy: autoscale.Default(), args: args}
	if f.Policy != "" {
		text, err := os.ReadFile(f.Policy)
		if err != nil {
			return nil, usage.Errorf("--%spolicy: %w", prefix, err)
		}
		if p.policy, err = autoscale.ParsePolicy(text); err != nil {
			return nil, usage.Errorf("--%spolicy: %s: %w", prefix, f.Policy, usage.OneLine(err))
		}
	}
	if f.Target == "command" && len(args) == 0 {
		return nil, usage.Errorf("--%starget: command needs the command after --, such as -- docker service scale esh3ar={nodes}", prefix)
	}
	if f.Target == "kubernetes" && len(args) > 0 {
		return nil, usage.Errorf("--%starget: kubernetes takes no arguments after --, got %q", prefix, args[0])
	}
	if f.Target == "processes" {
		if err := checkChildren(args); err != nil {
			return nil, usage.Errorf("after --: %w", err)
		}
		p.shutdownTimeout = drainWithin(args)
	}
	return p, nil
}

// Summary returns one sentence about what the plan does.
func (p *ScalePlan) Summary() string {
	what := fmt.Sprintf("to %d to %d nodes by the target %s", p.policy.Min, p.policy.Max, p.flags.Target)
	if p.flags.DryRun {
		return "A dry run: decisions about scaling " + what + " are recorded and not carried out."
	}
	return "Scaling " + what + "."
}

// ScaleDependencies are the dependencies of Scaling.
type ScaleDependencies struct {
	Holder   string // name of this scaler in the lease; see NewHolder
	Store    *postgres.Store
	Registry autoscale.Registry
	Dir      string   // the data directory
	Host     string   // where child processes listen
	Env      []string // environment of child processes, NAME=value
	Log      *slog.Logger
	Output   io.Writer // receives the logs of child processes
}

// NewHolder returns a unique name for a scaler: the host name and random letters.
func NewHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "scaler"
	}
	return host + "-" + strings.ToLower(rand.Text()[:6])
}

// Scaling is an autoscaler and its target.
type Scaling struct {
	scaler *autoscale.Scaler
	target func(ctx context.Context) error // runs until ctx ends; nil if the target needs no goroutine
}

func (p *ScalePlan) Open(parts ScaleDependencies) (*Scaling, error) {
	target, run, err := p.openTarget(&parts)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", p.flags.Target, err)
	}
	o := autoscale.Options{
		Policy: p.policy, Holder: parts.Holder, Registry: parts.Registry, Target: target, Lease: parts.Store.Scaling(), History: parts.Store.Scaling(),
		DryRun: p.flags.DryRun, Every: p.flags.Every, Log: parts.Log,
	}
	if o.DryRun { // takes no lease, so another scaler can decide
		rehearsal := parts.Store.Scaling().DryRun()
		o.Lease, o.History = rehearsal, rehearsal
	}
	return &Scaling{target: run, scaler: autoscale.New(o)}, nil
}

func (p *ScalePlan) openTarget(parts *ScaleDependencies) (autoscale.Target, func(context.Context) error, error) {
	switch p.flags.Target {
	case "kubernetes":
		t, err := kubernetes.New(kubernetes.Options{Name: p.flags.StatefulSet, Namespace: p.flags.Namespace})
		return t, nil, err
	case "command":
		t, err := command.New(command.Options{Args: p.args, Log: parts.Log})
		return t, nil, err
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	o := processes.Options{
		Binary: binary, Flags: p.args, Env: parts.Env, Dir: filepath.Join(parts.Dir, "scaled"), Host: parts.Host, StopWithin: p.shutdownTimeout,
		Output: parts.Output, Log: parts.Log,
	}
	if !p.flags.DryRun {
		o.Left = LeftIn(parts.Log)
	}
	t, err := processes.New(o)
	if err != nil {
		return nil, nil, err
	}
	return t, t.Run, nil
}

// Run scales until ctx ends. Decisions stop first, then the nodes that the target started.
func (s *Scaling) Run(ctx context.Context) error {
	if s.target == nil {
		return s.scaler.Run(ctx)
	}
	var target errgroup.Group
	targetCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	target.Go(func() error { return s.target(targetCtx) })
	err := s.scaler.Run(ctx)
	stop()
	return errors.Join(err, target.Wait())
}
