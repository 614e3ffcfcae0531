package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// adminTokenCmd changes the admin token.
type adminTokenCmd struct {
	Rotate adminRotateCmd `cmd:"" help:"Make a new admin token, through a running node and with the one of before."`
	Reset  adminResetCmd  `cmd:"" help:"Make a new admin token in the store itself, where the one of before is lost."`
}

type adminRotateCmd struct {
	clientFlags `embed:""`
}

type adminResetCmd struct {
	DataDir     string `name:"data-dir" default:"./data" help:"Data directory of a node that is stopped; with --database-url only its bootstrap.json."`
	DatabaseURL string `name:"database-url" help:"PostgreSQL of the nodes, which may be running."`
}

// Run creates a token through a node.
func (c *adminRotateCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.admin(); err != nil {
		return err
	}
	var answer struct {
		AdminToken string `json:"adminToken"`
	}
	if err := c.call(ctx, http.MethodPost, "/admin/v1/admin-token", c.AdminToken, nil, nil, &answer); err != nil {
		return err
	}
	return showToken(s, printable(answer.AdminToken))
}

// Run creates a token in the store.
func (c *adminResetCmd) Run(ctx context.Context, s node.Streams) (err error) {
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	token, _, err := auth.ResetAdmin(ctx, store, c.DataDir)
	if esh3ar.CodeOf(err) == esh3ar.NotFound && err != nil {
		return errors.New("this store has no admin token yet: the first start of a node makes it")
	}
	if err != nil {
		return err
	}
	return showToken(s, token)
}

func (c *adminResetCmd) open(ctx context.Context) (*node.Engine, error) {
	if c.DatabaseURL != "" {
		if err := node.CheckDatabase(c.DatabaseURL); err != nil {
			return nil, err
		}
		store, err := node.OpenPostgres(ctx, c.DatabaseURL, postgres.Options{})
		if err != nil {
			return nil, err
		}
		return &node.Engine{Store: store, Closer: store, Shared: store}, nil
	}
	dir := filepath.Join(c.DataDir, "store")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("--data-dir: there is no store in %s", c.DataDir)
	}
	store, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return nil, fmt.Errorf("%w; stop the node first, or use `%s admin-token rotate` while it runs", err, usage.Program())
	}
	return &node.Engine{Store: store, Closer: store, Local: store}, nil
}

// showToken prints a new admin token. The operator asked for it, so it is printed even if the output is not a terminal.
func showToken(s node.Streams, token string) error {
	_, err := fmt.Fprintf(s.Out, "%s\n", token)
	if err == nil {
		_, err = fmt.Fprintln(s.Err, "The admin token of before is void.")
	}
	return err
}
