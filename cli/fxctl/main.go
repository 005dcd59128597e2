// Command fxctl creates identities, plans and bundles of a federation. It talks
// to no network but the registry that bundle push and pull are given.
package main

import (
	"os"

	"fx/cli/command"
)

func main() {
	os.Exit(int(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)))
}
