package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// moveCmd copies a whole store to an empty store of the other engine and activates the copy instead of the source.
type moveCmd struct {
	From string `required:"" placeholder:"STORE" help:"Data directory of a stopped node, or postgres:// URL of a database that no node uses."`
	To   string `required:"" placeholder:"STORE" help:"Where to: a data directory without a store, or the URL of an empty database."`
}

// Help returns the text that --help shows.
func (*moveCmd) Help() string {
	return "Messages in every state move with their ids, seqs, versions and history, and so do businesses, API keys, plans, usage, idempotency keys, " +
		"dead letters, scheduled tasks, status events, revocations, signing keys and the admin token. Phones go on with the seq they have; " +
		"an event stream that resumes gets a reset and then every event that is kept. Cursors of lists end. " +
		"What the autoscaler remembers and rows that a repair set aside stay behind.\n\n" +
		"Stop every node first, and bring the spill of each into the database. The source stays in force until the copy is complete, read back and verified; " +
		"then it is marked as moved and starts no more. A move that was interrupted is begun again by the same command."
}

// movable is a store at one end of a move.
type movable interface {
	esh3ar.Store
	transfer.Reader
	DropSetting(ctx context.Context, name string) error
}

// moveSource is the store that is moved.
type moveSource interface {
	name() string
	open(ctx context.Context) (movable, error)
	// alone reports an error if another process uses the store.
	alone(ctx context.Context) error
	close() error
}

// moveTarget is the store that is filled.
type moveTarget interface {
	name() string
	// open opens the target as it is; nil if there is nothing yet.
	open(ctx context.Context) (movable, error)
	// clear makes the target an empty store and opens it.
	clear(ctx context.Context) (movable, error)
	// fill calls f with a writer, and opens what was written.
	fill(ctx context.Context, f func(transfer.Writer) error) (movable, error)
	// activate makes the target a store that a node can start with.
	activate(ctx context.Context) error
	// finish activates the target if an activation for a cluster was interrupted.
	finish(ctx context.Context, cluster string) error
	// advice returns a text that explains how to start nodes with the target.
	advice() string
	close() error
}

// Run moves.
func (c *moveCmd) Run(ctx context.Context, s node.Streams) (err error) {
	from, to, err := c.ends(s)
	if err != nil {
		return err
	}
	m := &move{from: from, to: to, s: s, now: esh3ar.TimeOf(time.Now())}
	defer func() { err = errors.Join(err, to.close(), from.close()) }()
	err = m.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing has changed for the source; run the same command again")
	}
	return err
}

func (c *moveCmd) ends(s node.Streams) (moveSource, moveTarget, error) {
	log := node.NewLog(s, "error", "text")
	if isDatabase(c.From) == isDatabase(c.To) {
		return nil, nil, usage.Errorf("--to: a move is between a data directory and a database; give one of each")
	}
	if isDatabase(c.From) {
		return &moveDatabase{url: c.From, flag: "--from", log: log}, &moveDirTarget{dataDir: c.To, from: node.DatabaseName(c.From), log: log}, nil
	}
	return &moveDir{dataDir: c.From, log: log}, &moveDatabase{url: c.To, flag: "--to", log: log}, nil
}

func isDatabase(store string) bool {
	return strings.Contains(store, "://")
}

// move is the state of one run of the command.
type move struct {
	from   moveSource
	to     moveTarget
	s      node.Streams
	now    esh3ar.Time
	source movable
	mark   node.StoreMark // of the target while it is filled
}

func (m *move) run(ctx context.Context) error {
	var err error
	if m.source, err = m.from.open(ctx); err != nil {
		return err
	}
	cluster, err := node.ClusterOf(ctx, m.source)
	if err != nil {
		return err
	}
	if cluster == "" {
		return usage.Errorf("--from: no node has used the store in %s", m.from.name())
	}
	m.mark = node.StoreMark{State: node.MarkCopying, Cluster: cluster, To: m.to.name(), At: m.now}
	was, err := node.MarkOf(ctx, m.source)
	switch {
	case err != nil:
		return err
	case was.State == node.MarkMoved && was.To == m.to.name():
		return m.finish(ctx)
	case was.State != "":
		return node.CheckMark(ctx, m.source, "--from", m.from.name())
	}
	if err := m.checkTarget(ctx); err != nil {
		return err
	}
	if err := m.verify(ctx, m.source, "--from", m.from.name()); err != nil {
		return err
	}
	sums, err := m.copy(ctx)
	if err != nil {
		return err
	}
	return m.hand(ctx, sums)
}

// checkTarget returns an error if the target holds anything but an earlier attempt of this move.
func (m *move) checkTarget(ctx context.Context) error {
	target, err := m.to.open(ctx)
	if err != nil || target == nil {
		return err
	}
	was, err := node.MarkOf(ctx, target)
	if err != nil {
		return err
	}
	if (was.State == node.MarkCopying || was.State == node.MarkComplete) && was.Cluster == m.mark.Cluster {
		fmt.Fprintf(m.s.Err, "%s holds an earlier try of this move: it is begun again.\n", m.to.name())
		return nil
	}
	return usage.Errorf("--to: %s is not empty; give an empty database, or a data directory without a store", m.to.name())
}

// verify returns an error if the source is damaged: the copy would lose data or contain the damage.
func (m *move) verify(ctx context.Context, store movable, flag, name string) error {
	fmt.Fprintf(m.s.Err, "Verifying %s.\n", name)
	v, err := collect(ctx, store, false)
	if err != nil {
		return err
	}
	if v.Survey.Findings > 0 {
		first := v.Findings[0]
		return fmt.Errorf("%s: %s has %d findings, the first: %s, %s: %s; mend them with `%s verify --repair` first",
			flag, name, v.Survey.Findings, printable(first.Check), printable(first.Where), printable(first.Detail), usage.Program())
	}
	if v.Survey.SetAside > 0 {
		fmt.Fprintf(m.s.Err, "%d rows that a repair has set aside stay in %s.\n", v.Survey.SetAside, name)
	}
	return nil
}

// copy fills the target and checks that it holds the same rows as the source.
func (m *move) copy(ctx context.Context) (*transfer.Sums, error) {
	target, err := m.to.clear(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := target.InitSetting(ctx, node.MarkSetting, m.mark.Encode()); err != nil {
		return nil, err
	}
	history, err := node.HistoryOf(ctx, m.source)
	if err != nil {
		return nil, err
	}
	if _, err := target.InitSetting(ctx, node.HistorySetting, []byte(strconv.FormatUint(uint64(history)+1, 10))); err != nil {
		return nil, err
	}
	var sums *transfer.Sums
	shown := newProgress(m.s.Err, "copied", 0)
	target, err = m.to.fill(ctx, func(w transfer.Writer) (err error) {
		sums, err = transfer.Copy(ctx, m.source, w, m.now, func(*transfer.Sums) { shown.add(1) })
		return err
	})
	shown.end()
	if err != nil {
		return nil, err
	}
	shown = newProgress(m.s.Err, "read back", 0)
	there, err := transfer.Survey(ctx, target, m.now, func(*transfer.Sums) { shown.add(1) })
	shown.end()
	if err != nil {
		return nil, err
	}
	if lines := sums.Differences(there); len(lines) > 0 {
		return nil, fmt.Errorf("the copy in %s is not what %s holds, which stays in force: %s", m.to.name(), m.from.name(), strings.Join(lines, "; "))
	}
	if err := m.verify(ctx, target, "--to", m.to.name()); err != nil {
		return nil, err
	}
	complete := m.mark
	complete.State = node.MarkComplete
	return sums, target.SwapSetting(ctx, node.MarkSetting, m.mark.Encode(), complete.Encode())
}

// hand activates the target. Once the source is marked, it can no longer be started.
func (m *move) hand(ctx context.Context, sums *transfer.Sums) error {
	ctx = context.WithoutCancel(ctx) // an interrupt between the two marks would leave neither store active
	moved := m.mark
	moved.State = node.MarkMoved
	if _, err := m.source.InitSetting(ctx, node.MarkSetting, moved.Encode()); err != nil {
		return err
	}
	if err := m.from.alone(ctx); err != nil { // a node started before the mark, and the copy lacks the messages that it accepted
		return errors.Join(fmt.Errorf("--from: a node was started during the move: %w; stop it and run the same command again", err), m.source.DropSetting(ctx, node.MarkSetting))
	}
	if err := m.to.activate(ctx); err != nil {
		return fmt.Errorf("%w; %s holds everything: run the same command again", err, m.to.name())
	}
	m.report(sums)
	return nil
}

// finish completes a move whose source is marked already.
func (m *move) finish(ctx context.Context) error {
	if err := m.to.finish(ctx, m.mark.Cluster); err != nil {
		return err
	}
	fmt.Fprintf(m.s.Out, "%s was moved to %s. %s\n", m.from.name(), m.to.name(), m.to.advice())
	return nil
}

func (m *move) report(sums *transfer.Sums) {
	table := tabwriter.NewWriter(m.s.Out, 0, 0, 2, ' ', 0)
	for _, kind := range transfer.Kinds[:len(transfer.Kinds)-1] {
		fmt.Fprintf(table, "%s\t%d\n", kind, sums.Count(kind))
	}
	_ = table.Flush()
	fmt.Fprintf(m.s.Out, "%s was moved to %s, where everything was read back and verified. %s\n", m.from.name(), m.to.name(), m.to.advice())
	fmt.Fprintf(m.s.Out, "%s is marked as moved and starts no more; delete it when you no longer need it.\n", m.from.name())
}
