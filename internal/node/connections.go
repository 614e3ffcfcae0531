package node

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// connectionFlags are the limits of connections; zero stands for a default that follows from the limit of open files.
type connectionFlags struct {
	MaxConnections     int           `name:"max-connections" help:"Connections at once (default: the limit of open files without a reserve)."`
	MaxUnauthenticated int           `name:"max-unauthenticated" help:"Connections without good credentials yet; at the limit the longest idle one is closed (default: a quarter of --max-connections, at most 10000)."`
	MaxPerAddress      int           `name:"max-per-address" help:"Connections without good credentials yet from one IPv4 address or IPv6 /64 (default: an eighth of --max-unauthenticated, at least 16)."`
	MaxPerBusiness     int           `name:"max-per-business" help:"Connections of one business; those beyond count as unauthenticated (default: half of --max-connections)."`
	MaxPerPhone        int           `name:"max-per-phone" default:"64" help:"Connections of one phone number; those beyond count as unauthenticated."`
	WriteTimeout       time.Duration `name:"write-timeout" default:"30s" help:"How long a peer may leave what is sent to it unread, and a second more for each 16 KiB, before its connection ends."`
	TrustedProxies     []string      `name:"trusted-proxies" default:"127.0.0.0/8,::1/128" placeholder:"CIDR,…" help:"Addresses of proxies and gateways, without limits per address, business and phone; none: there are none."`
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

// proxies are the trusted ones.
func (f *connectionFlags) proxies() (list []netip.Prefix, err error) {
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

// fewConnections is where the log warns that the limit of open files leaves little.
const fewConnections = 512

// most returns how many connections a process with that budget holds at once; zero: the system has no limit.
func (f *connectionFlags) most(budget connlimit.Budget) int {
	if f.MaxConnections > 0 && (budget.Connections == 0 || f.MaxConnections < budget.Connections) {
		return f.MaxConnections
	}
	return budget.Connections
}

// limiter makes the limits of a process with that budget.
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

// leastFiles is the least limit of open files that a process can work with: the store alone needs some forty.
const leastFiles = 96

// openFiles raises the limit of open files and returns it.
func openFiles() (int, error) {
	files := connlimit.RaiseFiles()
	if files > 0 && files < leastFiles {
		return 0, usage.Errorf("the limit of open files is %d, which is too few to run: raise it to at least %d (ulimit -n)", files, leastFiles)
	}
	return files, nil
}
