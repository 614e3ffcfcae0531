package clarity

import (
	"go/ast"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Limits of files that are neither tests nor generated.
const (
	maxFuncLines = 60
	maxFileLines = 400
)

// longFiles are the files that may be longer than maxFileLines, by the end of their path, with the reason.
var longFiles = map[string]string{}

// Length reports long functions and files.
var Length = &analysis.Analyzer{
	Name: "length",
	Doc:  "report functions of more than 60 lines and files of more than 400, except tests and generated files",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, file := range pass.Files {
			position := pass.Fset.Position(file.Package)
			if ast.IsGenerated(file) || strings.HasSuffix(position.Filename, "_test.go") {
				continue
			}
			lines := pass.Fset.File(file.Package).LineCount()
			if lines > maxFileLines && !mayBeLong(position.Filename) {
				pass.Reportf(file.Package, "file of %d lines, limit %d; split it by noun", lines, maxFileLines)
			}
			for _, decl := range file.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if !ok {
					continue
				}
				n := pass.Fset.Position(f.End()).Line - pass.Fset.Position(f.Pos()).Line + 1
				if n > maxFuncLines {
					pass.Reportf(f.Name.Pos(), "function %s of %d lines, limit %d; split it", f.Name.Name, n, maxFuncLines)
				}
			}
		}
		return nil, nil
	},
}

func mayBeLong(file string) bool {
	for end := range longFiles {
		if strings.HasSuffix(filepath.ToSlash(file), "/"+end) {
			return true
		}
	}
	return false
}
