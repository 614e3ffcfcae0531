package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"
)

// checkListen tells what is wrong with an address of --listen.
func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--listen: %q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return usagef("--listen: %q is not a port", port)
	}
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		return usagef("--listen: %q is not an address of this machine", host)
	}
	return nil
}

// listenOn opens the address of --listen, or says what to do.
func listenOn(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--listen: %s is in use by another program; stop it or choose another port", addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("--listen: no right to listen on %s; choose a port above 1023", addr)
	case err != nil:
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return listener, nil
}

// newLog writes what happens to standard error, from that level on.
func newLog(s streams, level string) *slog.Logger {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		from = slog.LevelInfo // kong's enum lets nothing else through
	}
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: from}))
}
