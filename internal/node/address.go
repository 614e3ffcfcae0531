package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/esh3artech/esh3ar/internal/usage"
)

// checkListen returns a usage error if addr cannot be the value of --listen.
func checkListen(addr string) error { return checkAddress("--listen", addr) }

// checkAddress returns a usage error if addr is not an address to listen on; flag is the name of the flag.
func checkAddress(flag, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usage.Errorf("%s: %q is not host:port", flag, addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return usage.Errorf("%s: %q is not a port", flag, port)
	}
	return CheckHost(flag, host)
}

// CheckHost returns a usage error if host is not a host to listen on; flag is the name of the flag.
func CheckHost(flag, host string) error {
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		return usage.Errorf("%s: %q is not an address of this machine", flag, host)
	}
	return nil
}

// Unspecified reports whether host stands for all addresses of the machine: it is empty or such as 0.0.0.0 and ::.
func Unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// loopback reports whether host is reachable only from this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listenOn listens at the address of --listen. Its errors say what to do.
func listenOn(ctx context.Context, addr string) (net.Listener, error) {
	return listenFor(ctx, "--listen", addr)
}

// listenFor listens at the address of a flag. Its errors say what to do.
func listenFor(ctx context.Context, flag, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program; stop it or choose another port", flag, addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: no right to listen on %s; choose a port above 1023", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: this machine has no address %s; choose one of its own, or 0.0.0.0 for all of them", flag, addr)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return listener, nil
}

// NewLog returns a logger that writes records of at least that level to standard error, as text or JSON.
func NewLog(s Streams, level, format string) *slog.Logger {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		from = slog.LevelInfo // kong's enum lets nothing else through
	}
	options := &slog.HandlerOptions{Level: from, ReplaceAttr: plainError}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(s.Err, options))
	}
	return slog.New(slog.NewTextHandler(s.Err, options))
}

// plainError replaces an error by its text in one line. The text handler would format it with %+v, which makes some libraries print a
// stack.
func plainError(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok && err != nil {
		return slog.String(a.Key, strings.Join(strings.Fields(err.Error()), " "))
	}
	return a
}
