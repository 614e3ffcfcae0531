package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for releases (-ldflags "-X main.version=1.2.3").
var version = "0.1.0-dev"

type versionCmd struct{}

func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintf(s.out, "esh3ar %s%s, %s %s/%s\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// revision is the commit in parentheses after a space; empty if the build does not know it.
func revision() string {
	if text := commit(); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// commit is the short commit that the binary was built from, with "-dirty" if the tree had changes; empty if the build does not know.
func commit() (text string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	dirty := ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision" && len(setting.Value) >= 12:
			text = setting.Value[:12]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	if text == "" {
		return ""
	}
	return text + dirty
}

func runtimeVersion() string { return runtime.Version() }
