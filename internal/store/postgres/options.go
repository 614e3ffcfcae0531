package postgres

import (
	"cmp"
	"log/slog"
	"time"
)

// Options configure a Store. The zero value of a field selects its default.
type Options struct {
	Flag               string           // name of the URL in errors; default --database-url
	Now                func() time.Time // clock for timestamps and key expiry; tasks use it only if it is set, else the database clock
	Log                *slog.Logger     // default: discards everything
	MaxConns           int32            // connections of the pool; default 16
	CallTimeout        time.Duration    // limit of one statement including the wait for a connection; default 5 s
	SlowAfter          time.Duration    // duration above which a statement is logged; default 500 ms
	RequireSyncStandby bool             // reject a server whose commits wait for no standby
	Existing           bool             // reject a database that no node has used; for commands that must not create a store
	Copies             bool             // open for a copy, whose connections are not those of a node
	OnCommit           func()           // called after each commit that added events; must be fast
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
