package hostile

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"time"
)

// source evaluates constants and defaults of packages, by folder. It reads the source: a constant has no name in the program.
type source map[string]*folder

// folder is one package, checked to that extent goes without its imports but time.
type folder struct {
	files []*ast.File
	info  types.Info
	pkg   *types.Package
}

// values returns the value of the constant of that name, or the constants that stand beside a field of that name: its default in
// setDefault(&o.Name, V), o.Name = V, {&o.Name, V}, cmp.Or(o.Name, V) or Name: V.
func (s source) values(dir, name string) ([]float64, error) {
	f, err := s.open(dir)
	if err != nil {
		return nil, err
	}
	if c, is := f.pkg.Scope().Lookup(name).(*types.Const); is {
		v, _ := constant.Float64Val(constant.ToFloat(c.Val()))
		return []float64{v}, nil
	}
	var found []float64
	for _, file := range f.files {
		ast.Inspect(file, func(n ast.Node) bool {
			found = append(found, f.constantsNear(n, name)...)
			return true
		})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no constant and no default of a field %s", name)
	}
	return found, nil
}

func (s source) open(dir string) (*folder, error) {
	if f := s[dir]; f != nil {
		return f, nil
	}
	set := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	f := &folder{info: types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, file)
	}
	if len(f.files) == 0 {
		return nil, fmt.Errorf("no package in %s", dir)
	}
	config := types.Config{Importer: onlyTime{}, Error: func(error) {}} // missing imports
	f.pkg, _ = config.Check(dir, set, f.files, &f.info)                 // as above
	s[dir] = f
	return f, nil
}

// onlyTime imports package time: its durations, and nothing of any other package.
type onlyTime struct{}

func (onlyTime) Import(path string) (*types.Package, error) {
	if path != "time" {
		return nil, fmt.Errorf("%s is not needed", path)
	}
	p := types.NewPackage("time", "time")
	duration := types.NewNamed(types.NewTypeName(token.NoPos, p, "Duration", nil), types.Typ[types.Int64], nil)
	p.Scope().Insert(duration.Obj())
	for name, d := range map[string]time.Duration{
		"Nanosecond": 1, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
	} {
		p.Scope().Insert(types.NewConst(token.NoPos, p, name, duration, constant.MakeInt64(int64(d))))
	}
	p.MarkComplete()
	return p, nil
}

// constantsNear returns the constants in the same call, list, assignment or pair as a field of that name.
func (f *folder) constantsNear(n ast.Node, name string) []float64 {
	var expressions []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		expressions = n.Args
	case *ast.CompositeLit:
		expressions = n.Elts
	case *ast.AssignStmt:
		expressions = append(n.Lhs[:len(n.Lhs):len(n.Lhs)], n.Rhs...)
	case *ast.KeyValueExpr:
		if key, is := n.Key.(*ast.Ident); is && key.Name == name {
			return f.constants([]ast.Expr{n.Value})
		}
	}
	for _, e := range expressions {
		if u, is := e.(*ast.UnaryExpr); is {
			e = u.X
		}
		if field, is := e.(*ast.SelectorExpr); is && field.Sel.Name == name {
			return f.constants(expressions)
		}
	}
	return nil
}

func (f *folder) constants(expressions []ast.Expr) (values []float64) {
	for _, e := range expressions {
		if v := f.info.Types[e].Value; v != nil && (v.Kind() == constant.Int || v.Kind() == constant.Float) {
			n, _ := constant.Float64Val(constant.ToFloat(v))
			values = append(values, n)
		}
	}
	return values
}
