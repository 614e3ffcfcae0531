package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/esh3artech/esh3ar/internal/node"
)

// spillReadmitCmd retries calls that the database refused, after an operator has removed the cause.
type spillReadmitCmd struct {
	URL        string `name:"url" help:"The node to call (default: http://127.0.0.1:8080)."`
	AdminToken string `name:"admin-token" help:"The admin token (default: from bootstrap.json in the data directory)."`
	DataDir    string `name:"data-dir" default:"./data" help:"Where to look for bootstrap.json."`

	node.CAFlags `embed:""`
}

func (c *spillReadmitCmd) Run(ctx context.Context, s node.Streams) error {
	client := clientFlags{URL: c.URL, AdminToken: c.AdminToken, DataDir: c.DataDir, CAFlags: c.CAFlags}
	if err := client.resolve(); err != nil {
		return err
	}
	if err := client.needAdminToken(); err != nil {
		return err
	}
	var answer struct {
		Readmitted int `json:"readmitted"`
	}
	if err := client.call(ctx, http.MethodPost, "/admin/v1/spill/readmit", client.AdminToken, nil, nil, &answer); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%d calls are behind what waits for the database again\n", answer.Readmitted)
	return nil
}
