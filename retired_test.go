package esh3ar_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// retiredNames are names of functions, types, fields and variables that were replaced by the terms of the field, and must not come
// back in any spelling of upper and lower case. Values are the terms that replaced them.
var retiredNames = map[string]string{
	// ingest
	"letIn": "admitWaiting", "forsake": "removeAbandoned", "enqueueOr": "tryEnqueue", "pourAll": "spillLoop", "answerTwins": "answerDuplicates",
	"waitBehind": "waitForSpillDrain", "errBehind": "errSpillPending", "errShed": "errOverloaded", "asideRow": "quarantineRow", "stubborn": "blamePasses",
	// cluster
	"herald": "Heartbeat", "onTwin": "OnDuplicateID", "switchboard": "RouterState", "parcel": "NodeBatch", "unrouted": "HintsLost", "unmarked": "DirtyDropped",
	"circled": "HopLimitExceeded", "unsaid": "PublishFailed", "findable": "advertisedRegistry", "debugged": "logFailures",
	// delivery
	"healStale": "markOfflinePending", "tellFar": "notifyRemote", "slowLine": "unknownQueue", "sortOut": "classifyIDs", "inTwo": "joinParts",
	// httpapi, gateway
	"goodKey": "validKey", "notThere": "pathNotFound", "whatNow": "retryAdvice", "noSeat": "answerNoSlot",
	"cutOff": "abortResponse", "sitOut": "skipOne", "inDark": "notFollowed", "awaitHeard": "WaitUntilObserved",
	// cache, ratelimit, retention, autoscale
	"allOver": "expireAll", "unsure": "unhealthyTTL", "longestNo": "negativeCacheTTL", "keepHouse": "runOnce", "relent": "maybeRetry", "farewell": "reportExit",
	// store, auth
	"whereIs": "locate", "repeatsItself": "hasDuplicateIDs", "splitTwins": "splitConflicting", "strayPlaces": "strayEntries", "lined": "oneLineError",
	"askWithin": "lookupTimeout", "errTwice": "errDuplicate",
	// node
	"untilDrained": "drainGuard", "companions": "sidecars", "patiently": "retryUntilAnswered",
	// defaults of options
	"setDefaults": "withDefaults",
	// runtime
	"idlest": "longestIdle", "unrank": "removeUnauthenticated",
}

// retiredFolders are former package names.
var retiredFolders = []string{
	"intake", "fastpath", "gate", "vitals", "mover", "planted", "badlink", "rows", "route", "janitor", "quota", "ledger", "powercut", "progress", "backend",
}

// TestNames_Retired_DoNotComeBack checks the declared names of all Go files and the names of all folders.
func TestNames_Retired_DoNotComeBack(t *testing.T) {
	t.Parallel()
	folded := map[string]string{}
	for old, replacement := range retiredNames {
		folded[strings.ToLower(old)] = replacement
	}
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() == "tools" || path != "." && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			for _, folder := range retiredFolders {
				if d.Name() == folder {
					t.Errorf("%s: the folder has a retired name", path)
				}
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			files++
			checkRetired(t, path, folded)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 500 {
		t.Errorf("got %d Go files, want the whole repository", files)
	}
}

func checkRetired(t *testing.T, path string, retired map[string]string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return
	}
	check := func(names ...*ast.Ident) {
		for _, name := range names {
			if replacement, ok := retired[strings.ToLower(name.Name)]; ok {
				t.Errorf("%s: got the retired name %s, want a term such as %s", set.Position(name.Pos()), name.Name, replacement)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			check(n.Name)
		case *ast.TypeSpec:
			check(n.Name)
		case *ast.Field:
			check(n.Names...)
		case *ast.ValueSpec:
			check(n.Names...)
		}
		return true
	})
}
