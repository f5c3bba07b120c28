// Command cmd runs a private PostgreSQL for a demonstration.
//
//	go run ./hack/env/postgres/cmd up --dir DIR [--listen ADDRESS,…] [--port PORT] [--allow NETWORK,…]
//	go run ./hack/env/postgres/cmd tenant --dir DIR NAME    creates a tenant and prints its URL
//	go run ./hack/env/postgres/cmd url --dir DIR            prints the superuser's URL
//	go run ./hack/env/postgres/cmd down --dir DIR
//
// "up" returns when the server accepts connections. The server runs until "down".
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
)

const usage = "usage: up|tenant|url|down --dir DIR [--listen ADDRESS,…] [--port PORT] [--allow NETWORK,…] [NAME]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", "", "the server's folder")
	listen := flags.String("listen", "127.0.0.1", "addresses to listen on, separated by commas")
	port := flags.Int("port", 0, "TCP port (0: a free one)")
	allow := flags.String("allow", "", "networks whose clients may connect, separated by commas")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New(usage)
	}
	switch args[0] {
	case "up":
		options := postgres.Options{Dir: *dir, Listen: list(*listen), Port: *port, Allow: list(*allow)}
		server, err := postgres.Up(ctx, options)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "PostgreSQL listens on %s, port %d\n", strings.Join(server.Listen, ", "), server.Port)
		return nil
	case "tenant":
		return tenant(ctx, out, *dir, flags.Args())
	case "url":
		server, err := postgres.Open(*dir)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, server.AdminURL())
		return nil
	case "down":
		return postgres.Down(ctx, *dir)
	default:
		return errors.New(usage)
	}
}

func tenant(ctx context.Context, out io.Writer, dir string, args []string) error {
	if len(args) != 1 {
		return errors.New(usage)
	}
	server, err := postgres.Open(dir)
	if err != nil {
		return err
	}
	url, err := server.CreateTenant(ctx, args[0], rand.Text())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, url)
	return nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
