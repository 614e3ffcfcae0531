package postgres_test

import (
	"slices"
	"testing"

	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// TestFunctionArguments_MatchDeclarations compares the names that the store passes with the declarations in the database. A missing name
// would otherwise be an error of every write.
func TestFunctionArguments_MatchDeclarations(t *testing.T) {
	url := newDatabase(t)
	open(t, url, postgres.Options{})
	conn := connect(t, url)
	for function, got := range postgres.FunctionArguments() {
		var want []string // without the results, which follow the arguments
		if err := conn.QueryRow(t.Context(), `SELECT proargnames[1:pronargs] FROM pg_proc WHERE proname = $1`, function).Scan(&want); err != nil {
			t.Fatalf("%s: %v", function, err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got arguments %v, want %v", function, got, want)
		}
	}
}
