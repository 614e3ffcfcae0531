package node

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// connectionFlags are the limits of connections. Zero means a default that is derived from the limit of open files.
type connectionFlags struct {
	MaxConnections     int           `name:"max-connections" help:"Connections, at most (default: the limit of open files minus a reserve)."`
	MaxUnauthenticated int           `name:"max-unauthenticated" help:"Connections that have not sent valid credentials, at most; at the limit the longest idle one is closed (default: a quarter of --max-connections, at most 10000)."`
	MaxPerAddress      int           `name:"max-per-address" help:"Connections without valid credentials from one IPv4 address or IPv6 /64, at most (default: an eighth of --max-unauthenticated, at least 16)."`
	MaxPerBusiness     int           `name:"max-per-business" help:"Connections of one business, at most; further ones count as unauthenticated (default: half of --max-connections)."`
	MaxPerPhone        int           `name:"max-per-phone" default:"64" help:"Connections of one phone number, at most; further ones count as unauthenticated."`
	WriteTimeout       time.Duration `name:"write-timeout" default:"30s" help:"How long a peer may leave sent data unread, plus a second for each 16 KiB, before its connection is closed."`
	TrustedProxies     []string      `name:"trusted-proxies" default:"127.0.0.0/8,::1/128" placeholder:"CIDR,…" help:"Addresses of proxies and gateways, to which no limits per address, business and phone apply; none for no proxies."`
}

// noProxies is the value of --trusted-proxies for an empty list.
const noProxies = "none"

func (f *connectionFlags) check() error {
	for _, flag := range []struct {
		name  string
		value int
	}{
		{"--max-connections", f.MaxConnections},
		{"--max-unauthenticated", f.MaxUnauthenticated},
		{"--max-per-address", f.MaxPerAddress},
		{"--max-per-business", f.MaxPerBusiness},
		{"--max-per-phone", f.MaxPerPhone},
	} {
		if flag.value < 0 {
			return usage.Errorf("%s: must not be negative", flag.name)
		}
	}
	if f.WriteTimeout < 0 {
		return usage.Errorf("--write-timeout: must not be negative")
	}
	_, err := f.proxies()
	return err
}

// proxies returns the address ranges of --trusted-proxies.
func (f *connectionFlags) proxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	if len(f.TrustedProxies) == 1 && f.TrustedProxies[0] == noProxies {
		return nil, nil
	}
	for _, text := range f.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, alone := netip.ParseAddr(text)
			if alone != nil {
				return nil, usage.Errorf("--trusted-proxies: %q is neither an address nor a range such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

// fewConnections is the number of possible connections below which a start warns about the limit of open files.
const fewConnections = 512

// most returns the number of connections that a process with that budget holds at most; zero means no limit.
func (f *connectionFlags) most(budget connlimit.Budget) int {
	if f.MaxConnections > 0 && (budget.Connections == 0 || f.MaxConnections < budget.Connections) {
		return f.MaxConnections
	}
	return budget.Connections
}

// limiter creates the connection limiter of a process with that budget.
func (f *connectionFlags) limiter(budget connlimit.Budget, log *slog.Logger) (*connlimit.Limiter, error) {
	proxies, err := f.proxies()
	if err != nil {
		return nil, err
	}
	if budget.Files > 0 && budget.Connections < fewConnections {
		log.Warn("the limit of open files leaves room for few connections; raise it (ulimit -n)",
			"files", budget.Files, "reserved", budget.Reserve, "connections", budget.Connections)
	}
	return connlimit.New(connlimit.Options{
		Connections: f.most(budget), Unauthenticated: f.MaxUnauthenticated, PerAddress: f.MaxPerAddress, PerBusiness: f.MaxPerBusiness,
		PerDevice: f.MaxPerPhone, Proxies: proxies, WriteTimeout: f.WriteTimeout, Log: log,
	}), nil
}

// leastFiles is the lowest limit of open files that a process accepts; the store alone needs about forty.
const leastFiles = 96

// openFiles raises the limit of open files and returns it.
func openFiles() (int, error) {
	files := connlimit.RaiseFiles()
	if files > 0 && files < leastFiles {
		return 0, usage.Errorf("the limit of open files is %d, which is too few to run: raise it to at least %d (ulimit -n)", files, leastFiles)
	}
	return files, nil
}
