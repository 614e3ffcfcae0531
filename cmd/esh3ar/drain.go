package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// drainCmd drains a node, or ends its drain.
type drainCmd struct {
	clientFlags `embed:""`
	Undrain     bool   `help:"Have a node that drains take calls and phones again."`
	Node        string `arg:"" optional:"" help:"Its id, as GET /admin/v1/nodes lists it; may be left out where there is one node."`
}

// listedNode is a node of the admin API with the fields that this command uses.
type listedNode struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	Draining    bool   `json:"draining"`
	Connections int    `json:"connections"`
}

func (c *drainCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.resolve(); err != nil {
		return err
	}
	if err := c.needAdminToken(); err != nil {
		return err
	}
	node, err := c.find(ctx)
	if err != nil {
		return err
	}
	method, state := http.MethodPost, "drains: it takes no more calls, and its phones are handed over"
	if c.Undrain {
		method, state = http.MethodDelete, "takes calls and phones again"
	}
	if err := c.call(ctx, method, "/admin/v1/nodes/"+url.PathEscape(node.ID)+"/drain", c.AdminToken, nil, nil, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s  %s  (%s, %d phones)\n", node.ID, state, node.URL, node.Connections)
	return err
}

// find returns the node with the given name, or the only node if no name was given.
func (c *drainCmd) find(ctx context.Context) (listedNode, error) {
	var answer struct {
		Items []listedNode `json:"items"`
	}
	if err := c.call(ctx, http.MethodGet, "/admin/v1/nodes", c.AdminToken, nil, nil, &answer); err != nil {
		return listedNode{}, err
	}
	if c.Node == "" && len(answer.Items) == 1 {
		return answer.Items[0], nil
	}
	var known []string
	for _, n := range answer.Items {
		if n.ID == c.Node {
			return n, nil
		}
		known = append(known, fmt.Sprintf("%s (%s)", n.ID, n.URL))
	}
	if len(known) == 0 {
		return listedNode{}, errors.New("no node is known")
	}
	if c.Node == "" {
		return listedNode{}, usage.Errorf("which node? there are %s", strings.Join(known, ", "))
	}
	return listedNode{}, usage.Errorf("no node %s; there are %s", c.Node, strings.Join(known, ", "))
}
