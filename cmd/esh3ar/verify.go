package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// verifyCmd checks a store: of a running node with --url, otherwise of the data directory.
type verifyCmd struct {
	DataDir     string `name:"data-dir" default:"./data" help:"Where the store of a stopped node is; with --url: where to look for bootstrap.json."`
	DatabaseURL string `name:"database-url" help:"Verify this PostgreSQL, beside the nodes that use it."`
	URL         string `name:"url" help:"Have this running node verify its store."`
	AdminToken  string `name:"admin-token" help:"With --url: the admin token (default: from bootstrap.json in the data directory)."`
	Repair      bool   `help:"Mend what can be mended without loss and set the rest aside; nothing is deleted."`
	JSON        string `name:"json" placeholder:"FILE" help:"Write what was found as JSON; - for standard output, then without the table."`

	node.CAFlags `embed:""`
}

// keptFindings bounds the findings that are held in memory, about 30 MB. All findings are counted.
const keptFindings = 100_000

// verification is the result of a check, in the form of the API.
type verification struct {
	Survey    esh3ar.VerifyReport `json:"survey"`
	Findings  []esh3ar.Finding    `json:"findings"`
	Truncated bool                `json:"truncated,omitempty"`
	Unmended  int                 `json:"unmended"`
}

func (v *verification) add(f esh3ar.Finding) {
	if f.Action == esh3ar.Reported {
		v.Unmended++
	}
	if len(v.Findings) == keptFindings {
		v.Truncated = true
		return
	}
	v.Findings = append(v.Findings, f)
}

func (c *verifyCmd) Run(ctx context.Context, s node.Streams) error {
	look := c.offline
	if c.URL != "" {
		look = c.live
	} else if c.DatabaseURL != "" {
		look = c.database
	}
	v, err := look(ctx, s)
	if ctx.Err() != nil { // an interrupted check is not a success: the rest is unknown
		return errors.New("interrupted: the store is not verified")
	}
	if err != nil {
		return err
	}
	return c.report(s, &v)
}

// live makes a running node check its store.
func (c *verifyCmd) live(ctx context.Context, _ node.Streams) (verification, error) {
	var v verification
	client := clientFlags{URL: c.URL, AdminToken: c.AdminToken, DataDir: c.DataDir, CAFlags: c.CAFlags}
	if err := client.resolve(); err != nil {
		return v, err
	}
	if err := client.needAdminToken(); err != nil {
		return v, err
	}
	err := client.longCall(ctx, http.MethodPost, "/admin/v1/verify", client.AdminToken, nil, map[string]bool{"repair": c.Repair}, &v)
	return v, err
}

// database checks a PostgreSQL store from this process.
func (c *verifyCmd) database(ctx context.Context, _ node.Streams) (v verification, err error) {
	if err := node.CheckDatabase(c.DatabaseURL); err != nil {
		return v, err
	}
	store, err := node.OpenPostgres(ctx, c.DatabaseURL, postgres.Options{Existing: true})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return collect(ctx, store, c.Repair)
}

// offline checks the store of a stopped node.
func (c *verifyCmd) offline(ctx context.Context, s node.Streams) (v verification, err error) {
	store, err := c.openStopped(s)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return collect(ctx, store, c.Repair)
}

func (c *verifyCmd) openStopped(s node.Streams) (*embedded.Store, error) {
	dir := filepath.Join(c.DataDir, "store")
	if names, err := os.ReadDir(dir); errors.Is(err, os.ErrNotExist) || err == nil && len(names) == 0 { // opening would create a store
		return nil, usage.Errorf("--data-dir: there is no store in %s", c.DataDir)
	}
	log := node.NewLog(s, "warn", "text")
	store, err := embedded.Open(dir, embedded.Options{Log: log})
	if errors.Is(err, diskguard.ErrInUse) {
		return nil, usage.Errorf("--data-dir: a running node has %s open; verify it there with --url %s", c.DataDir, node.OperatorURL(c.DataDir))
	}
	return store, err
}

func collect(ctx context.Context, store esh3ar.Verifier, repair bool) (verification, error) {
	var v verification
	var err error
	v.Findings = []esh3ar.Finding{}
	if v.Survey, err = store.Verify(ctx, repair, v.add); err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	return v, nil
}

// report prints the findings and returns the error that sets the exit code.
func (c *verifyCmd) report(s node.Streams, v *verification) error {
	if c.JSON != "-" {
		if err := v.print(s.Out, c.Repair); err != nil {
			return err
		}
	}
	if c.JSON != "" {
		if err := v.write(c.JSON, s.Out); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	if v.Unmended > 0 {
		return errVerdict
	}
	return nil
}

func (v *verification) write(file string, stdout io.Writer) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file != "-" {
		return os.WriteFile(file, text, 0o600)
	}
	_, err = stdout.Write(printableJSON(text))
	return err
}

func (v *verification) print(w io.Writer, repair bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(v.Findings) > 0 {
		fmt.Fprintln(table, "ACTION\tCHECK\tWHERE\tDETAIL")
	}
	for _, f := range v.Findings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(f.Action), printable(f.Check), printable(f.Where), printable(f.Detail))
	}
	if v.Truncated {
		fmt.Fprintf(table, "and %d more\n", v.Survey.Findings-len(v.Findings))
	}
	if len(v.Findings) > 0 {
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	v.printSurvey(table)
	fmt.Fprintf(table, "verdict\t%s\n", v.verdict(repair))
	return table.Flush()
}

func (v *verification) printSurvey(table io.Writer) {
	n := &v.Survey
	for _, row := range []struct {
		name  string
		count int
	}{
		{"messages", n.Messages},
		{"waiting", n.Waiting},
		{"scheduled", n.Scheduled},
		{"dead letters", n.DeadLetters},
		{"tasks", n.Tasks},
		{"idempotency keys", n.Keys},
		{"events", n.Events},
		{"recipients", n.Recipients},
		{"set aside earlier", n.SetAside},
		{"findings", n.Findings},
	} {
		fmt.Fprintf(table, "%s\t%d\n", row.name, row.count)
	}
}

func (v *verification) verdict(repair bool) string {
	switch {
	case v.Unmended > 0 && repair:
		return fmt.Sprintf("%d of %d findings stand: they cannot be mended without loss", v.Unmended, v.Survey.Findings)
	case v.Unmended > 0:
		return fmt.Sprintf("%d of %d findings stand; --repair mends them or sets them aside", v.Unmended, v.Survey.Findings)
	case v.Survey.Findings > 0:
		return "every finding was mended or set aside"
	default:
		return "clean"
	}
}
