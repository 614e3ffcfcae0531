package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/node"
)

// keysCmd shows and changes the signing keys of a cluster, through a node.
type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the signing keys with their public parts, which gateways need."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new signing key; the others verify until the last token has ended."`
	End    keysEndCmd    `cmd:"" help:"End a signing key now: what it has signed is void."`
}

type keysListCmd struct {
	clientFlags `embed:""`
	Public      bool `name:"public" help:"Print the public parts alone, with commas, for --cluster-keys of a gateway."`
}

type keysRotateCmd struct {
	clientFlags `embed:""`
	EndOthers   bool `name:"end-others" help:"End all other keys now: every device token is void, and every phone connection ends."`
}

type keysEndCmd struct {
	clientFlags `embed:""`
	ID          string `arg:"" help:"Id of the key."`
}

type signingKeys struct {
	Items []struct {
		ID        string      `json:"id"`
		PublicKey string      `json:"publicKey"`
		CreatedAt esh3ar.Time `json:"createdAt"`
		SignsFrom esh3ar.Time `json:"signsFrom"`
		EndsAt    esh3ar.Time `json:"endsAt"`
		Signs     bool        `json:"signs"`
	} `json:"items"`
}

// admin prepares a call with the admin token.
func (f *clientFlags) admin() error {
	if err := f.resolve(); err != nil {
		return err
	}
	return f.needAdminToken()
}

const signingKeysPath = "/admin/v1/signing-keys"

// Run prints the keys.
func (c *keysListCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.admin(); err != nil {
		return err
	}
	var keys signingKeys
	if err := c.call(ctx, http.MethodGet, signingKeysPath, c.AdminToken, nil, nil, &keys); err != nil {
		return err
	}
	if !c.Public {
		return keys.print(s)
	}
	for i, k := range keys.Items {
		if i > 0 {
			fmt.Fprint(s.Out, ",")
		}
		fmt.Fprint(s.Out, printable(k.PublicKey))
	}
	_, err := fmt.Fprintln(s.Out)
	return err
}

// Run creates a new signing key.
func (c *keysRotateCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.admin(); err != nil {
		return err
	}
	var keys signingKeys
	if err := c.call(ctx, http.MethodPost, signingKeysPath, c.AdminToken, nil, map[string]bool{"endOthers": c.EndOthers}, &keys); err != nil {
		return err
	}
	return keys.print(s)
}

// Run ends the validity of a key.
func (c *keysEndCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.admin(); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, signingKeysPath+"/"+url.PathEscape(c.ID), c.AdminToken, nil, nil, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.Out, "ended", c.ID)
	return err
}

func (k *signingKeys) print(s node.Streams) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tCREATED\tENDS\tPUBLIC KEY")
	for _, one := range k.Items {
		state := "verifies"
		if one.Signs {
			state = "signs"
		} else if one.SignsFrom.Time().After(time.Now()) {
			state = "signs from " + one.SignsFrom.String()
		}
		created, ends := "with the store", "-"
		if !one.CreatedAt.IsZero() {
			created = one.CreatedAt.String()
		}
		if !one.EndsAt.IsZero() {
			ends = one.EndsAt.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(one.ID), state, created, ends, printable(one.PublicKey))
	}
	return w.Flush()
}
