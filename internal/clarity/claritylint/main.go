// Command claritylint runs the analyzers of package clarity under `go vet -vettool`.
package main

import (
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/esh3artech/esh3ar/internal/clarity"
)

func main() {
	unitchecker.Main(clarity.Analyzers...)
}
