// Parses Starlark files and prints what is wrong with them. What a file calls is not looked up, so
// that a Tiltfile can be checked where there is no Tilt.
package main

import (
	"fmt"
	"os"

	"go.starlark.net/syntax"
)

func main() {
	// Tilt allows both.
	dialect := syntax.FileOptions{TopLevelControl: true, GlobalReassign: true}
	failed := false
	for _, path := range os.Args[1:] {
		if _, err := dialect.Parse(path, nil, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
