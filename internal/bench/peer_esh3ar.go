package bench

import (
	"context"
	"time"
)

// esh3ar is a build of this project as a messenger: one node with its own store.
type esh3ar struct {
	node  *server
	sends bool // phones acknowledge without a completion
}

func startEsh3ar(ctx context.Context, o *Options) (messenger, error) {
	node, err := startServer(ctx, o.Binary, o.Flags)
	if err != nil {
		return nil, err
	}
	return &esh3ar{node: node, sends: o.Ack == AckSend}, nil
}

func (e *esh3ar) format() *callFormat             { return messageFormat(e.node.secrets.APIKey) }
func (e *esh3ar) addr() string                    { return e.node.addr }
func (e *esh3ar) cpuTime() (time.Duration, error) { return cpuOfTree(e.node.node.PID()) }
func (e *esh3ar) memory() (int64, error)          { return rssOf(e.node.node.PID()) }
func (e *esh3ar) close() error                    { return e.node.close() }

func (e *esh3ar) connect(ctx context.Context, count int, l *ledger) (func(), error) {
	f, err := connectFleet(ctx, []string{e.node.node.URL}, e.node.secrets.AdminToken, count, e.sends, l)
	if err != nil {
		return nil, err
	}
	return f.close, nil
}
