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

// ScaleFlags say how to scale; they are the same for every command that does.
type ScaleFlags struct {
	Policy      string        `name:"policy" placeholder:"FILE" help:"YAML or JSON: min, max, metrics, up, down, maxIneffectiveSteps, retry (default: 1 to 10 nodes, load 0.8)."`
	Target      string        `name:"target" default:"processes" enum:"processes,kubernetes,command" help:"What starts and stops nodes: processes of this machine, kubernetes, or a command."`
	Every       time.Duration `name:"every" default:"5s" help:"How often to look."`
	DryRun      bool          `name:"dry-run" help:"Decide and write it down, and do nothing."`
	StatefulSet string        `name:"statefulset" default:"esh3ar" help:"For the target kubernetes: the nodes."`
	Namespace   string        `name:"namespace" help:"For the target kubernetes: where it is (default: where this pod is)."`
}

// ScalePlan is what the flags ask for, checked.
type ScalePlan struct {
	flags  *ScaleFlags
	policy autoscale.Policy
	args   []string // of the target

	shutdownTimeout time.Duration // of the target processes; 0: its default
}

// Plan checks the flags, whose names begin with prefix; it touches nothing but the policy's file.
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
	switch {
	case f.Target == "command" && len(args) == 0:
		return nil, usage.Errorf("--%starget: command needs the command after --, such as -- docker service scale esh3ar={nodes}", prefix)
	case f.Target == "kubernetes" && len(args) > 0:
		return nil, usage.Errorf("--%starget: kubernetes takes nothing after --, and there is %q", prefix, args[0])
	}
	if f.Target == "processes" {
		if err := checkChildren(args); err != nil {
			return nil, usage.Errorf("after --: %w", err)
		}
		p.shutdownTimeout = drainWithin(args)
	}
	return p, nil
}

// Summary says what will come of the plan.
func (p *ScalePlan) Summary() string {
	what := fmt.Sprintf("to %d to %d nodes by the target %s", p.policy.Min, p.policy.Max, p.flags.Target)
	if p.flags.DryRun {
		return "A dry run: what scaling " + what + " would do is written down, and not done."
	}
	return "Scaling " + what + "."
}

// ScaleParts is what scaling stands on.
type ScaleParts struct {
	Holder   string // see newHolder
	Store    *postgres.Store
	Registry autoscale.Registry
	Dir      string   // the data directory
	Host     string   // where child processes listen
	Env      []string // of theirs
	Log      *slog.Logger
	Output   io.Writer // what they log
}

// NewHolder is a name that no other scaler has, and this one only until it ends.
func NewHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "scaler"
	}
	return host + "-" + strings.ToLower(rand.Text()[:6])
}

// Scaling is a scaler with what its target has to run.
type Scaling struct {
	scaler *autoscale.Scaler
	target func(ctx context.Context) error // until ctx ends; nil: nothing
}

func (p *ScalePlan) Open(parts ScaleParts) (*Scaling, error) {
	target, run, err := p.openTarget(&parts)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", p.flags.Target, err)
	}
	o := autoscale.Options{
		Policy: p.policy, Holder: parts.Holder, Registry: parts.Registry, Target: target, Lease: parts.Store.Scaling(), History: parts.Store.Scaling(),
		DryRun: p.flags.DryRun, Every: p.flags.Every, Log: parts.Log,
	}
	if o.DryRun { // it keeps nobody from doing it
		rehearsal := parts.Store.Scaling().Rehearsal()
		o.Lease, o.History = rehearsal, rehearsal
	}
	return &Scaling{target: run, scaler: autoscale.New(o)}, nil
}

func (p *ScalePlan) openTarget(parts *ScaleParts) (autoscale.Target, func(context.Context) error, error) {
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

// Run scales until ctx ends. The decisions end first, then what they started.
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
