// Command esh3ar is the platform in one binary: nodes, gateways, clients, operator commands, and the instruments that prove it.
//
// This package contains flags, output and exit codes. Each file is one subcommand; internal/node composes the processes, and the other
// packages below internal do the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// Exit codes. Scripts rely on them.
const (
	exitOK    = 0
	exitFail  = 1 // the command failed, or its verdict was bad
	exitUsage = 2 // bad flags or configuration
	exitSpill = 3 // accepted messages are still only in this node's spill
	exitSlow  = 4 // a benchmark did not meet a budget
)

// commands is the command line. The file of each command has its flags and its Run.
type commands struct {
	Config  kong.ConfigFlag    `placeholder:"FILE" help:"YAML file with flags by name; a flag beats the environment, the environment beats the file."`
	Serve   node.Config        `cmd:"" help:"Run a node."`
	Gateway node.GatewayConfig `cmd:"" help:"Balance calls over nodes, and send phones to them."`
	Scaler  scalerCmd          `cmd:"" help:"Start and stop nodes as their load asks for."`
	Send    sendCmd            `cmd:"" help:"Send a message as a business."`
	Listen  listenCmd          `cmd:"" help:"Be a phone in the terminal: receive messages and acknowledge them."`
	DLQ     dlqCmd             `cmd:"" name:"dlq" help:"Look at dead letters, replay and delete them."`
	Keys    keysCmd            `cmd:"" help:"List, rotate and end the signing keys of device tokens and of the node registry."`
	Admin   adminTokenCmd      `cmd:"" name:"admin-token" help:"Replace the admin token."`
	Spill   spillCmd           `cmd:"" help:"Look at what a node has accepted while its database was away, and bring it there."`
	Drain   drainCmd           `cmd:"" help:"Have a node take no more calls and hand its phones over, or take them again."`
	Verify  verifyCmd          `cmd:"" help:"Check the invariants of a store, and mend it."`
	Move    moveCmd            `cmd:"" help:"Move a whole store from a data directory to PostgreSQL, or back."`
	Bench   benchCmd           `cmd:"" help:"Measure a node against the budgets."`
	Torture tortureCmd         `cmd:"" help:"Kill a node again and again and check that nothing is lost."`
	Version versionCmd         `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errVerdict means that the command has printed its bad verdict itself.
var errVerdict = errors.New("bad verdict")

// errBudget means that a measured figure does not meet its budget.
var errBudget = errors.New("not met")

// run parses args and runs one command; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:len(args):len(args)], "--help")
	case args[0] == "--version":
		args = []string{"version"}
	}
	exited := -1 // --help ends inside Parse
	options := append(flagValues(),
		kong.Name("esh3ar"),
		kong.Description("A messaging platform: every message that was answered 202 is on disk and reaches its phone."),
		kong.DefaultEnvars("ESH3AR"),
		kong.Configuration(loadConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code; panic(helpShown{}) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(node.Streams{Out: stdout, Err: stderr}),
	)
	parser, err := kong.New(&commands{}, options...)
	if err != nil {
		panic(err) // the struct of commands is invalid, which every start would report
	}
	warnUnknownVariables(stderr, parser.Model.Node, os.Environ())
	command, err := parse(parser, args)
	if exited >= 0 {
		return exited
	}
	if err == nil {
		err = command.Run()
	} else {
		err = usage.Wrap(err)
	}
	return exitCode(err, stderr)
}

type helpShown struct{}

// parse calls kong's parser and returns where kong would exit the process, as after --help.
func parse(parser *kong.Kong, args []string) (*kong.Context, error) {
	var command *kong.Context
	var err error
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(helpShown); !ok {
				panic(r)
			}
		}
	}()
	command, err = parser.Parse(args)
	var file *fs.PathError
	if errors.As(err, &file) { // no other flag's file is read by then
		err = fmt.Errorf("--config: %w", err)
	}
	if err != nil {
		err = plainParseError(err)
	}
	return command, err
}

func exitCode(err error, stderr io.Writer) int {
	var usage usage.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitOK
	case errors.Is(err, errVerdict):
		return exitFail
	case errors.Is(err, errBudget):
		fmt.Fprintln(stderr, "esh3ar:", err)
		return exitSlow
	case isLeftBehind(err):
		fmt.Fprintln(stderr, "esh3ar:", err)
		return exitSpill
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "esh3ar:", err)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "esh3ar:", err)
		return exitFail
	}
}
