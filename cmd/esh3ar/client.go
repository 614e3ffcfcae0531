package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// clientFlags are common to the commands that call a node.
type clientFlags struct {
	URL        string `name:"url" help:"The node to call (default: http://127.0.0.1:8080)."`
	APIKey     string `name:"api-key" help:"The business's API key (default: from bootstrap.json in the data directory)."`
	AdminToken string `name:"admin-token" help:"The admin token (default: from bootstrap.json in the data directory)."`
	DataDir    string `name:"data-dir" default:"./data" help:"Where to look for bootstrap.json."`
	AdminURL   string `name:"admin-url" help:"Where the node serves /admin if it has --admin-listen (default: --url)."`

	node.CAFlags `embed:""`
}

// bootstrapFile is the content of bootstrap.json, which the first start of a node writes to its data directory.
type bootstrapFile struct {
	AdminToken string `json:"adminToken"`
	BusinessID string `json:"businessId"`
	APIKey     string `json:"apiKey"`
}

// resolve sets the flags that were not given from bootstrap.json, if the file exists.
func (f *clientFlags) resolve() error {
	f.URL = strings.TrimRight(f.URL, "/")
	if f.URL == "" {
		f.URL = node.DefaultURL
	}
	if u, err := url.Parse(f.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usage.Errorf("--url: %q is not an http or https URL", f.URL)
	}
	if u, err := url.Parse(f.AdminURL); f.AdminURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return usage.Errorf("--admin-url: %q is not an http or https URL", f.AdminURL)
	}
	if err := f.Trust(); err != nil {
		return err
	}
	if err := node.CheckSecrets(f.AdminToken, f.APIKey); err != nil || f.APIKey != "" && f.AdminToken != "" {
		return err
	}
	text, err := os.ReadFile(filepath.Join(f.DataDir, "bootstrap.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var file bootstrapFile
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(f.DataDir, "bootstrap.json"), err)
	}
	if f.APIKey == "" {
		f.APIKey = file.APIKey
	}
	if f.AdminToken == "" {
		f.AdminToken = file.AdminToken
	}
	return nil
}

// needAPIKey returns a usage error if there is no API key.
func (f *clientFlags) needAPIKey() error {
	if f.APIKey == "" {
		return usage.Errorf("no API key: give --api-key or ESH3AR_API_KEY, or run in the folder where %s/bootstrap.json is", f.DataDir)
	}
	return nil
}

// needAdminToken returns a usage error if there is no admin token.
func (f *clientFlags) needAdminToken() error {
	if f.AdminToken == "" {
		return usage.Errorf("no admin token: give --admin-token or ESH3AR_ADMIN_TOKEN, or run in the folder where %s/bootstrap.json is", f.DataDir)
	}
	return nil
}

// problem is an error answer of the API (RFC 9457) with the members that a terminal shows.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Pointer   string `json:"pointer"`
		Parameter string `json:"parameter"`
		Header    string `json:"header"`
		Detail    string `json:"detail"`
	} `json:"errors"`
}

func (p problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s: %s", e.Pointer+e.Parameter+e.Header, e.Detail) // exactly one of the three is set
	}
	if p.Code == "" {
		return printable(text)
	}
	return printable(fmt.Sprintf("%s (%s)", text, p.Code))
}

// flagged replaces the fields and parameters in the faults of a call by their flags. If flags lacks one of them, the error is
// returned unchanged.
func flagged(err error, flags map[string]string) error {
	p, ok := errors.AsType[problem](err)
	if !ok || len(p.Errors) == 0 {
		return err
	}
	var words []string
	for _, e := range p.Errors {
		flag := flags[strings.TrimPrefix(e.Pointer, "/")+e.Parameter+e.Header]
		if flag == "" {
			return err
		}
		detail, _, _ := strings.Cut(e.Detail, "; write") // drop the advice on the form in JSON or a query
		words = append(words, flag+": "+printable(detail))
	}
	return usage.Errorf("%s", strings.Join(words, "; "))
}

// call sends one JSON request and decodes the answer into out, which may be nil.
func (f *clientFlags) call(ctx context.Context, method, path, bearer string, header http.Header, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return f.longCall(ctx, method, path, bearer, header, in, out)
}

// longCall is call without a timeout.
func (f *clientFlags) longCall(ctx context.Context, method, path, bearer string, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	flag, base := f.baseOf(path)
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return usage.Errorf("%s: %w", flag, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no node at %s: start one with `%s serve`, or name another with %s", base, usage.Program(), flag)
	}
	if err := f.authorityError(err); err != nil {
		return err
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: no answer from %s: %w", flag, base, failed.Err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		p := problem{Title: resp.Status}
		_ = json.Unmarshal(text, &p) // an answer that is not a problem document is shown by its status line
		if resp.StatusCode == http.StatusNotFound && strings.HasPrefix(path, adminRoot) && strings.HasPrefix(p.Detail, "unknown path") {
			return fmt.Errorf("%s does not serve %s: if the node has --admin-listen, name that address with --admin-url", base, path)
		}
		return p
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

const adminRoot = "/admin/"

// baseOf returns the URL of the node for a path, and the flag that changes it.
func (f *clientFlags) baseOf(path string) (flag, base string) {
	if !strings.HasPrefix(path, adminRoot) || f.AdminURL == "" {
		return "--url", f.URL
	}
	return "--admin-url", strings.TrimRight(f.AdminURL, "/")
}

// authorityError returns an error with a remedy if err says that the authority of the node's certificate is unknown, else nil.
func (f *clientFlags) authorityError(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		return nil
	}
	return fmt.Errorf("--url: the certificate of %s is of an authority that this machine does not know; name its PEM file with --ca-cert", f.URL)
}

// deviceToken requests a device token for a phone from the node.
func (f *clientFlags) deviceToken(ctx context.Context, phone string) (string, error) {
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	err := f.call(ctx, http.MethodPost, "/admin/v1/device-tokens", f.AdminToken, nil, map[string]string{"phoneNumber": phone}, &answer)
	return answer.AccessToken, err
}
