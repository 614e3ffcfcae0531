// Package clarity holds analyzers for constructs that compile, that a reader has to read twice, and that no linter of tools/go.mod
// finds. Run `make lint`; `go vet -vettool` runs the command in claritylint.
package clarity

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// Analyzers are all analyzers of this package.
var Analyzers = []*analysis.Analyzer{CondState, ShortSwitch, Shift, Parallel, Results, Length}

// CondState reports statements before a condition that change state.
var CondState = &analysis.Analyzer{
	Name: "condstate",
	Doc: "report statements before the condition of an if or switch that change state: i++, x.f = y, b = append(b, c)\n\n" +
		"A short declaration is fine, and so is an assignment of the results of one call, a map or an assertion, one of which the\n" +
		"condition reads: if x.f, err = open(); err != nil.",
	Run: func(pass *analysis.Pass) (any, error) {
		inspect(pass, func(n ast.Node) {
			switch n := n.(type) {
			case *ast.IfStmt:
				checkInit(pass, n.Init, n.Cond)
			case *ast.SwitchStmt:
				checkInit(pass, n.Init, n)
			}
		})
		return nil, nil
	},
}

// checkInit reports the statement before a condition if it changes state.
func checkInit(pass *analysis.Pass, init ast.Stmt, condition ast.Node) {
	switch init := init.(type) {
	case *ast.IncDecStmt:
		pass.Reportf(init.Pos(), "%s before the condition changes state; make it a statement of its own", init.Tok)
	case *ast.AssignStmt:
		isResult := init.Tok == token.ASSIGN && len(init.Rhs) == 1 && (len(init.Lhs) > 1 || isCall(pass, init.Rhs[0]))
		if init.Tok != token.DEFINE && !(isResult && reads(condition, init.Lhs)) {
			pass.Reportf(init.Pos(), "assignment before the condition changes state; make it a statement of its own")
		}
	}
}

// isCall reports whether e calls a function that is not built in.
func isCall(pass *analysis.Pass, e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && !pass.TypesInfo.Types[call.Fun].IsBuiltin() && !pass.TypesInfo.Types[call.Fun].IsType()
}

// reads reports whether the condition mentions one of the expressions.
func reads(condition ast.Node, list []ast.Expr) bool {
	if s, ok := condition.(*ast.SwitchStmt); ok {
		if s.Tag == nil {
			return true // the cases are the conditions
		}
		condition = s.Tag
	}
	for _, e := range list {
		if mentions(condition, types.ExprString(e)) {
			return true
		}
	}
	return false
}

// minCases is the number of clauses from which on a switch without a value reads better than if and else.
const minCases = 3

// ShortSwitch reports switches without a value that an if replaces.
var ShortSwitch = &analysis.Analyzer{
	Name: "shortswitch",
	Doc:  "report switches without a value that have fewer than three clauses, the default included",
	Run: func(pass *analysis.Pass) (any, error) {
		inspect(pass, func(n ast.Node) {
			s, ok := n.(*ast.SwitchStmt)
			if ok && s.Tag == nil && len(s.Body.List) < minCases {
				pass.Reportf(s.Pos(), "switch without a value with fewer than %d clauses; write if and else", minCases)
			}
		})
		return nil, nil
	},
}

// Shift reports shifts of variables by unexplained numbers.
var Shift = &analysis.Analyzer{
	Name: "shift",
	Doc: "report shifts of a variable by a literal without a comment on the line or above it\n\n" +
		"Shifts by 1 are fine, and so are shifts by multiples of 8, which select a byte.",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, file := range pass.Files {
			if ast.IsGenerated(file) {
				continue
			}
			commented := commentLines(pass, file)
			ast.Inspect(file, func(n ast.Node) bool {
				b, ok := n.(*ast.BinaryExpr)
				if !ok || b.Op != token.SHL && b.Op != token.SHR || pass.TypesInfo.Types[b.X].Value != nil {
					return true
				}
				amount, ok := b.Y.(*ast.BasicLit)
				line := pass.Fset.Position(b.Pos()).Line
				if ok && !plainShifts[amount.Value] && !commented[line] && !commented[line-1] {
					pass.Reportf(amount.Pos(), "shift by %s without an explanation; name the number or add a comment", amount.Value)
				}
				return true
			})
		}
		return nil, nil
	},
}

var plainShifts = map[string]bool{"1": true, "8": true, "16": true, "24": true, "32": true, "40": true, "48": true, "56": true}

// commentLines returns the lines that have a comment.
func commentLines(pass *analysis.Pass, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.Comments {
		for line := pass.Fset.Position(group.Pos()).Line; line <= pass.Fset.Position(group.End()).Line; line++ {
			lines[line] = true
		}
	}
	return lines
}

// maxParallel is the number of values of different types that one assignment may have, unless they are constants.
const maxParallel = 2

// Parallel reports parallel assignments of values that have nothing to do with each other.
var Parallel = &analysis.Analyzer{
	Name: "parallel",
	Doc: "report parallel assignments of several constants of different types, and of three or more values of different types\n\n" +
		"Swaps, the results of one call and the clauses of a for statement are fine.",
	Run: func(pass *analysis.Pass) (any, error) {
		inFor := map[ast.Stmt]bool{}
		inspect(pass, func(n ast.Node) {
			switch n := n.(type) {
			case *ast.ForStmt:
				inFor[n.Init] = true
				inFor[n.Post] = true
			case *ast.AssignStmt:
				if len(n.Rhs) > 1 && !inFor[n] && !isSwap(n) && (len(n.Rhs) > maxParallel || areConstants(pass, n.Rhs)) && differ(pass, n.Rhs) {
					pass.Reportf(n.Pos(), "parallel assignment of unrelated values; write one assignment per line")
				}
			}
		})
		return nil, nil
	},
}

// areConstants reports whether all values are constants or nil.
func areConstants(pass *analysis.Pass, values []ast.Expr) bool {
	for _, value := range values {
		if t := pass.TypesInfo.Types[value]; t.Value == nil && !t.IsNil() {
			return false
		}
	}
	return true
}

// isSwap reports whether a right side reads what the statement assigns at another position.
func isSwap(n *ast.AssignStmt) bool {
	for i, left := range n.Lhs {
		for j, right := range n.Rhs {
			if i != j && n.Tok == token.ASSIGN && mentions(right, types.ExprString(left)) {
				return true
			}
		}
	}
	return false
}

// mentions reports whether text is the text of a part of e.
func mentions(e ast.Node, text string) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if part, ok := n.(ast.Expr); ok && types.ExprString(part) == text {
			found = true
		}
		return !found
	})
	return found
}

// differ reports whether two of the values have different types.
func differ(pass *analysis.Pass, values []ast.Expr) bool {
	first := pass.TypesInfo.TypeOf(values[0])
	for _, value := range values[1:] {
		if !types.Identical(types.Default(pass.TypesInfo.TypeOf(value)), types.Default(first)) {
			return true
		}
	}
	return false
}

// inspect calls visit for every node of the files that are not generated.
func inspect(pass *analysis.Pass, visit func(ast.Node)) {
	for _, file := range pass.Files {
		if ast.IsGenerated(file) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}
