// Command temporal is a Temporal server in one process with SQLite and the Web UI, built from the official modules.
// It takes the options of `temporal server start-dev`, so the Temporal test library can start it too.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

func run() error {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		return err
	}
	server, err := newServer(o)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	if !o.headless && o.uiPort != 0 {
		ui := uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
			Host: o.ip, Port: o.uiPort, TemporalGRPCAddress: fmt.Sprintf("%s:%d", o.ip, o.port), EnableUI: true,
			CORS: uiconfig.CORS{CookieInsecure: true}, HideLogs: true, DisableNewsFetch: true,
		}))
		go func() { failed <- ui.Start() }()
		defer ui.Stop()
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	fmt.Printf("Temporal listens on %s:%d, Web UI on port %d\n", o.ip, o.port, o.uiPort)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	select {
	case <-stop:
		return nil
	case err := <-failed:
		return fmt.Errorf("web UI: %w", err)
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}
