package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// played is a verification that finds what it is told to.
type played []esh3ar.Finding

func (p played) Verify(_ context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	for _, f := range p {
		if repair && f.Check != "hopeless" {
			f.Action = esh3ar.Mended
		}
		found(f)
	}
	return esh3ar.VerifyReport{Messages: 12, DeadLetters: 3, Findings: len(p)}, nil
}

var (
	hopeful  = esh3ar.Finding{Check: "orphan", Where: "inbox +967771234567 3", Detail: "no message", Action: esh3ar.Reported, Message: esh3ar.NewMessageID()}
	hopeless = esh3ar.Finding{Check: "hopeless", Where: "row 7", Detail: "damaged", Action: esh3ar.Reported}
)

func TestVerifyLive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		finds   played
		args    []string
		code    int
		verdict string
	}{
		"clean":            {nil, nil, exitOK, "clean"},
		"findings":         {played{hopeful, hopeless}, nil, exitFail, "2 of 2 findings stand; --repair"},
		"mended":           {played{hopeful}, []string{"--repair"}, exitOK, "every finding was mended"},
		"not to be mended": {played{hopeful, hopeless}, []string{"--repair"}, exitFail, "1 of 2 findings stand: they cannot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			b.config.Verifier = c.finds
			b.serve(t)
			code, out, errs := b.run(t, append([]string{"verify"}, c.args...)...)
			if code != c.code || errs != "" || !strings.Contains(out, "verdict            "+c.verdict) || !strings.Contains(out, "messages           12\n") {
				t.Errorf("code %d, stderr %q, stdout\n%s", code, errs, out)
			}
			for _, f := range c.finds {
				if !strings.Contains(out, f.Check) || !strings.Contains(out, f.Where) {
					t.Errorf("%s is not shown in\n%s", f.Check, out)
				}
			}
		})
	}
}

func TestVerifyAsJSON(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.config.Verifier = played{hopeful}
	b.serve(t)
	file := filepath.Join(t.TempDir(), "found.json")
	if code, out, _ := b.run(t, "verify", "--json", file); code != exitFail || !strings.Contains(out, "verdict") {
		t.Errorf("code %d, stdout %q", code, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, out, _ := b.run(t, "verify", "--json", "-")
	if code != exitFail || out != string(text) {
		t.Errorf("code %d, stdout %s\nfile %s", code, out, text)
	}
	var v verification
	if err := json.Unmarshal(text, &v); err != nil || len(v.Findings) != 1 || v.Findings[0] != hopeful || v.Unmended != 1 || v.Survey.Messages != 12 {
		t.Errorf("%+v, %v", v, err)
	}
	b.refused(t, exitFail, "--json", "verify", "--json", filepath.Join(file, "below"), "--json", "/nonexistent/x")
}

func TestVerify_ManyFindings_StoresBoundedNumber(t *testing.T) {
	t.Parallel()
	v, err := collect(t.Context(), make(played, keptFindings+5), false)
	if err != nil || len(v.Findings) != keptFindings || !v.Truncated || v.Survey.Findings != keptFindings+5 {
		t.Fatalf("%d kept, truncated %v, %v", len(v.Findings), v.Truncated, err)
	}
	v.Findings = v.Findings[:1]
	var out bytes.Buffer
	if err := v.print(&out, false); err != nil || !strings.Contains(out.String(), "and 100004 more\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestVerify_ImpossibleRun_Fails(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.refused(t, exitFail, "(not_supported)", "verify")
	if code, _, errs := runHere(t, "verify", "--url", b.url, "--data-dir", t.TempDir()); code != exitUsage || !strings.Contains(errs, "--admin-token") {
		t.Errorf("%d %q", code, errs)
	}
	empty := t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), empty} {
		code, _, errs := runHere(t, "verify", "--data-dir", dir)
		if code != exitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "--data-dir: there is no store in "+dir) {
			t.Errorf("%d %q", code, errs)
		}
	}
	if names, err := os.ReadDir(filepath.Join(empty, "store")); err != nil || len(names) != 0 {
		t.Errorf("verify made a store: %v, %v", names, err)
	}
}

func TestVerify_StoreInUse_Fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(filepath.Join(dir, "store"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	code, _, errs := runHere(t, "verify", "--data-dir", dir)
	if code != exitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "with --url") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestVerify_Interrupted_Fails: an interrupt ends most commands with 0.
func TestVerify_Interrupted_Fails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := newBackend(t)
	var out, errs bytes.Buffer
	for _, args := range [][]string{{"verify"}, {"dlq", "list"}, {"dlq", "replay", "--all"}, {"dlq", "delete", "--all", "--yes"}} {
		errs.Reset()
		if code := run(ctx, append(args, "--url", b.url, "--data-dir", b.dir), &out, &errs); code != exitFail || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%q: code %d, stderr %q", args, code, errs.String())
		}
	}
	if err := interrupted(ctx, errors.New("x"), "replayed", 7); !strings.Contains(err.Error(), "7") {
		t.Error(err)
	}
}
