package buildinfo

import (
	"runtime"
	"runtime/debug"
)

// Version is the version of the product. The linker sets it for releases:
// -ldflags "-X github.com/esh3artech/esh3ar/internal/buildinfo.Version=1.2.3".
var Version = "0.1.0-dev"

// Commit returns the short commit that the binary was built from, with "-dirty" if the tree had changes. It is empty if the build
// does not know the commit.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var commit, suffix string
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			commit = setting.Value[:12]
		}
		if setting.Key == "vcs.modified" && setting.Value == "true" {
			suffix = "-dirty"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + suffix
}

// GoVersion returns the version of Go that built the binary.
func GoVersion() string { return runtime.Version() }
