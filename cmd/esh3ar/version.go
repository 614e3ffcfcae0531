package main

import (
	"fmt"
	"runtime"

	"github.com/esh3artech/esh3ar/internal/buildinfo"
	"github.com/esh3artech/esh3ar/internal/node"
)

type versionCmd struct{}

// Run prints the version on one line.
func (versionCmd) Run(s node.Streams) error {
	_, err := fmt.Fprintf(s.Out, "esh3ar %s%s, %s %s/%s\n", buildinfo.Version, revision(), buildinfo.GoVersion(), runtime.GOOS, runtime.GOARCH)
	return err
}

// revision returns a space and the commit in parentheses, or nothing if the build does not know the commit.
func revision() string {
	if commit := buildinfo.Commit(); commit != "" {
		return " (" + commit + ")"
	}
	return ""
}
