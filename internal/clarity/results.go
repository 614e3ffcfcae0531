package clarity

import (
	"go/ast"
	"go/types"
	"regexp"

	"golang.org/x/tools/go/analysis"
)

// Results reports named results without a purpose.
var Results = &analysis.Analyzer{
	Name: "results",
	Doc: "report named results of functions that neither document nor are needed\n\n" +
		"Names are fine if two results have the same type, if a deferred function uses one, if the doc comment mentions one, or if one\n" +
		"names a value of a basic type, or a list or map of such values: (done bool), (waited time.Duration, err error).",
	Run: func(pass *analysis.Pass) (any, error) {
		inspect(pass, func(n ast.Node) {
			if f, ok := n.(*ast.FuncDecl); ok && f.Body != nil {
				checkResults(pass, f.Type, f.Body, f.Doc.Text())
			}
		})
		return nil, nil
	},
}

func checkResults(pass *analysis.Pass, f *ast.FuncType, body *ast.BlockStmt, doc string) {
	if f.Results == nil || len(f.Results.List) == 0 || len(f.Results.List[0].Names) == 0 {
		return
	}
	var seen []types.Type
	names := map[string]bool{}
	for _, field := range f.Results.List {
		t := pass.TypesInfo.TypeOf(field.Type)
		for _, name := range field.Names {
			for _, other := range seen {
				if types.Identical(t, other) {
					return
				}
			}
			if isBasic(t) && len(name.Name) > 1 {
				return
			}
			seen = append(seen, t)
			names[name.Name] = true
			if doc != "" && regexp.MustCompile(`\b`+regexp.QuoteMeta(name.Name)+`\b`).MatchString(doc) {
				return
			}
		}
	}
	if !usedInDefer(body, names) {
		pass.Reportf(f.Results.Pos(), "named results that the doc comment does not mention and no deferred function needs; leave the names out")
	}
}

// isBasic reports whether t says nothing about its meaning: a basic type, or a list or map of such a type.
func isBasic(t types.Type) bool {
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return true
	case *types.Slice:
		return isBasic(t.Elem())
	case *types.Array:
		return isBasic(t.Elem())
	case *types.Map:
		return isBasic(t.Elem())
	}
	return false
}

// usedInDefer reports whether a deferred call mentions one of names.
func usedInDefer(body *ast.BlockStmt, names map[string]bool) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		d, ok := n.(*ast.DeferStmt)
		if !ok {
			return !found
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && names[id.Name] {
				found = true
			}
			return !found
		})
		return false
	})
	return found
}
