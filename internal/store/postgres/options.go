package postgres

import (
	"cmp"
	"log/slog"
	"time"
)

// Options tune a Store; the zero value of a field means its default.
type Options struct {
	Flag               string           // names the URL in errors; default --database-url
	Now                func() time.Time // stamps and key expiry; tasks go by the database's clock unless this is set
	Log                *slog.Logger
	MaxConns           int32         // default 16
	CallTimeout        time.Duration // of one statement with its wait for a connection; default 5 s
	SlowAfter          time.Duration // statements that take longer are logged; default 500 ms
	RequireSyncStandby bool          // refuse a server whose commits wait for no standby
	Existing           bool          // refuse a database that no node has used: who looks or drains must not make a store of it
	Copies             bool          // for a copy, which holds the database: its connections are not those of a node
	OnCommit           func()        // after each commit that left events; must be quick
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnCommit == nil {
		o.OnCommit = func() {}
	}
	o.Flag = cmp.Or(o.Flag, "--database-url")
	o.MaxConns = cmp.Or(o.MaxConns, 16)
	o.CallTimeout = cmp.Or(o.CallTimeout, 5*time.Second)
	o.SlowAfter = cmp.Or(o.SlowAfter, 500*time.Millisecond)
	return o
}
