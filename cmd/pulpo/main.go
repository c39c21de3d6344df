// Command pulpo is the whole storage cluster in one binary.
package main

import (
	"os"

	"github.com/pulpo-storage/pulpo/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
