package postgres

import (
	"fmt"
	"strings"
)

// argument is an argument of a function in the database: its name in the declaration of the function, and its value in binary format.
// Calls pass arguments by name, so the order in Go does not matter, and the server rejects an unknown name.
type argument struct {
	name  string
	value []byte
}

// callSQL returns the statement that selects columns from the result of a function. Placeholders are numbered in the order of args, whose
// values are ignored.
func callSQL(columns, function string, args []argument) string {
	named := make([]string, len(args))
	for i, a := range args {
		named[i] = fmt.Sprintf("%s => $%d", a.name, i+1)
	}
	return "SELECT " + columns + " FROM " + function + "(" + strings.Join(named, ", ") + ")"
}
