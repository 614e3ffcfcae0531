package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// Config is the node's whole configuration; its names are part of the outward contract.
type Config struct {
	Listen             string `default:"127.0.0.1:8080" help:"Address to listen on; port 0 picks a free one."`
	AdminListen        string `name:"admin-listen" placeholder:"ADDRESS" help:"Separate address for /admin, /metrics, /debug/pprof and /dashboard/. Without it --listen serves them too."`
	DataDir            string `name:"data-dir" default:"./data" help:"Directory of all durable data."`
	DatabaseURL        string `name:"database-url" help:"PostgreSQL shared by several nodes, postgres://… Without it the node uses the embedded store."`
	AbandonOtherStore  bool   `name:"abandon-other-store" help:"Start even if messages wait in the store that --data-dir was used with before. They stay there and are not delivered."`
	RequireSyncStandby bool   `name:"require-sync-standby" help:"Refuse a PostgreSQL whose commits do not wait for a standby."`
	RedisURL           string `name:"redis-url" help:"Redis shared by several nodes: redis://…, or the comma-separated addresses of a Redis Cluster."`
	NodeID             string `name:"node-id" help:"Name of this node (default: generated once and kept in the data directory)."`
	AdvertiseURL       string `name:"advertise-url" help:"URL at which clients and other nodes reach this node (default: from --listen). Required with --redis-url if --listen is a wildcard address such as 0.0.0.0."`
	DefaultRegion      string `name:"default-region" default:"YE" help:"Region of phone numbers without a country code: two letters such as YE."`
	AdminToken         string `name:"admin-token" help:"Admin token, at least 16 varied characters (default: generated on first start)."`
	APIKey             string `name:"api-key" help:"On first start: API key of the business named default, at least 16 varied characters (default: generated)."`
	Demo               bool   `name:"demo" help:"Print the secrets of a first start, and at every start a link to the phone demo with a 24-hour device token, even if the output is not a terminal."`
	GatewaySecret      string `name:"gateway-secret" placeholder:"TEXT" help:"Secret that a gateway without Redis sends (its --gateway-secret) to read the load of this node."`
	LogLevel           string `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat          string `name:"log-format" default:"text" enum:"text,json" help:"Format of the log: text or json."`

	capacityFlags   `embed:""`
	connectionFlags `embed:""`
	tlsFlags        `embed:""`
	CAFlags         `embed:""`
	roleFlags       `embed:""`

	AckTimeout      time.Duration     `name:"ack-timeout" default:"10s" help:"How long a phone has to acknowledge a push. Then it is asked for a sign of life, and the push is repeated after a pause (--retry-base)."`
	RetryAttempts   int               `name:"retry-attempts" default:"5" help:"Unacknowledged pushes after which a message becomes a dead letter."`
	RetryBase       time.Duration     `name:"retry-base" default:"5s" help:"Pause before the first retry; it doubles with each."`
	RetryCap        time.Duration     `name:"retry-cap" default:"5m" help:"Longest pause between retries."`
	KeepMessages    time.Duration     `name:"keep-messages" default:"720h" help:"How long finished messages and dead letters are kept."`
	QueueMemory     size              `name:"queue-memory" default:"128MiB" help:"With --database-url: memory for calls that wait to be stored, such as 64MiB. Calls beyond it go to the spill, lowest priority first."`
	SpillMiB        int               `name:"spill-mib" default:"1024" help:"With --database-url: disk space for accepted calls while PostgreSQL does not answer, in MiB."`
	DiskReserve     diskguard.Reserve `name:"disk-reserve" default:"auto" placeholder:"SIZE" help:"Free space on the disk of --data-dir below which new messages are refused, such as 512MiB or 5%%. auto is 5%% and at least 1 GiB, or an eighth of disks below 8 GiB."`
	KeepEvents      time.Duration     `name:"keep-events" default:"72h" help:"How long status events can be read."`
	ShutdownTimeout time.Duration     `name:"shutdown-timeout" default:"20s" help:"Time to drain after SIGTERM."`
	PowerCuts       bool              `name:"simulate-power-cuts" hidden:"" help:"Lose writes that were not fsynced when the process is killed, as a power cut does. For torture."`
}

// gcPercent trades memory for CPU: the live heap of a node is some tens of MiB, and collecting half as often saves about a tenth of
// the CPU per message. GOGC in the environment overrides it.
const gcPercent = 200

// Run checks the configuration, then runs the node until ctx ends or a part fails.
func (c *Config) Run(ctx context.Context, s Streams) error {
	plan, err := c.check()
	if err != nil {
		return err
	}
	log := NewLog(s, c.LogLevel, c.LogFormat)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	files, err := openFiles()
	if err != nil {
		return err
	}
	cert, err := c.tlsFlags.open(log)
	if err != nil {
		return err
	}
	if err := c.Trust(); err != nil {
		return err
	}
	listener, err := listenOn(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	n, err := c.open(ctx, listener.Addr(), processLimits{c.budget(files), cert}, log)
	if err != nil {
		return err
	}
	if listener, err = n.sockets.Listen(listener); err != nil {
		return errors.Join(err, n.abandon(ctx))
	}
	listener = secured(n.limiter.Listen(listener), cert)
	sidecars, err := n.openSidecars(ctx, s, plan)
	if err != nil {
		return errors.Join(err, n.abandon(ctx))
	}
	return n.run(ctx, listener, sidecars, s)
}

// check returns a usage error for the first invalid flag, and the scaling plan if there is one.
func (c *Config) check() (*ScalePlan, error) {
	if err := c.checkNode(); err != nil {
		return nil, err
	}
	return c.roleFlags.check(c)
}

// nodeIDLetters are the characters of node ids; a URL needs no escaping for them.
const nodeIDLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func (c *Config) checkNode() error {
	if c.DatabaseURL != "" {
		if err := CheckDatabase(c.DatabaseURL); err != nil {
			return err
		}
	}
	if c.RequireSyncStandby && c.DatabaseURL == "" {
		return usage.Errorf("--require-sync-standby: needs --database-url")
	}
	if c.RedisURL != "" {
		if err := c.CheckRedis(); err != nil {
			return err
		}
	}
	if err := CheckSecrets(c.AdminToken, c.APIKey); err != nil {
		return err
	}
	if err := checkStrength(c.AdminToken, c.APIKey); err != nil {
		return err
	}
	if err := checkGatewaySecret(c.GatewaySecret); err != nil {
		return err
	}
	if err := checkListen(c.Listen); err != nil {
		return err
	}
	if c.AdminListen != "" {
		if err := checkAddress("--admin-listen", c.AdminListen); err != nil {
			return err
		}
	}
	if err := c.tlsFlags.check(); err != nil {
		return err
	}
	if len(c.NodeID) > 128 || strings.Trim(c.NodeID, nodeIDLetters) != "" {
		return usage.Errorf("--node-id: must be at most 128 letters, digits and -._~: it is part of connection tokens")
	}
	if err := c.checkAdvertised(); err != nil {
		return err
	}
	if _, err := phonenumber.NewParser(c.DefaultRegion); err != nil {
		return usage.Errorf("--default-region: %w", err)
	}
	if c.DataDir == "" {
		return usage.Errorf("--data-dir: must not be empty")
	}
	if err := c.capacityFlags.check(); err != nil {
		return err
	}
	if err := c.connectionFlags.check(); err != nil {
		return err
	}
	return c.checkNumbers()
}

// budget divides the file descriptors of this process. With a gateway in the process each call may need one more connection.
func (c *Config) budget(files int) connlimit.Budget {
	if c.Role == "all" {
		return connlimit.GatewayBudget(files)
	}
	return connlimit.NodeBudget(files)
}

// checkAdvertised refuses an advertised URL, given or derived from --listen, that other nodes, gateways and phones cannot call.
func (c *Config) checkAdvertised() error {
	if c.AdvertiseURL == "" {
		if host, _, err := net.SplitHostPort(c.Listen); err == nil && c.RedisURL != "" && Unspecified(host) {
			return usage.Errorf("--advertise-url: needed with --redis-url when --listen is %s, which names no address for the other nodes; give the URL of this node, such as %s://node1.example:8080",
				c.Listen, c.scheme())
		}
		return nil
	}
	u, err := url.Parse(c.AdvertiseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usage.Errorf("--advertise-url: %q is not an http or https URL", c.AdvertiseURL)
	}
	if Unspecified(u.Hostname()) || u.Port() == "0" {
		return usage.Errorf("--advertise-url: %q cannot be called; name this machine and its port", c.AdvertiseURL)
	}
	return nil
}

func (c *Config) CheckRedis() error {
	if c.DatabaseURL == "" {
		return usage.Errorf("--redis-url: needs --database-url: nodes that share no store have no messages for each other")
	}
	if err := redis.CheckURL(c.RedisURL); err != nil {
		return usage.Errorf("--redis-url: %w", err)
	}
	return nil
}

func (c *Config) checkNumbers() error {
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{
		{"--ack-timeout", c.AckTimeout},
		{"--retry-base", c.RetryBase},
		{"--retry-cap", c.RetryCap},
		{"--shutdown-timeout", c.ShutdownTimeout},
		{"--keep-messages", c.KeepMessages},
		{"--keep-events", c.KeepEvents},
	} {
		if flag.value <= 0 {
			return usage.Errorf("%s: must be longer than 0", flag.name)
		}
	}
	switch {
	case c.QueueMemory < minQueueMemory || c.QueueMemory > maxQueueMemory:
		return usage.Errorf("--queue-memory: must be %dMiB to %dMiB", minQueueMemory>>20, maxQueueMemory>>20)
	case c.SpillMiB < 1 || c.SpillMiB > maxSpillMiB:
		return usage.Errorf("--spill-mib: must be 1 to %d", maxSpillMiB)
	case c.RetryAttempts < 1 || c.RetryAttempts > 100:
		return usage.Errorf("--retry-attempts: must be 1 to 100")
	case c.RetryCap < c.RetryBase:
		return usage.Errorf("--retry-cap: must not be shorter than --retry-base (%s)", c.RetryBase)
	case c.KeepEvents > c.KeepMessages:
		return usage.Errorf("--keep-events: must not be longer than --keep-messages (%s), or events would refer to deleted messages", c.KeepMessages)
	}
	return nil
}

// Bounds of --queue-memory, in bytes. The upper one is more than a node can use.
const (
	minQueueMemory = 1 << 20
	maxQueueMemory = 64 << 30
)

// maxSpillMiB is one tebibyte; a start reads the whole spill.
const maxSpillMiB = 1 << 20

// baseURL returns --advertise-url, or the URL by which clients on this machine reach the node.
func (c *Config) baseURL(addr net.Addr) string {
	if c.AdvertiseURL != "" {
		return c.AdvertiseURL
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return c.scheme() + "://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return c.scheme() + "://" + net.JoinHostPort(host, port)
}

// ensureDir creates the data directory and checks that it is writable.
func ensureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: cannot make %s: %w; choose a folder that this user may write to", dir, errors.Unwrap(err))
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("--data-dir: cannot write to %s: %w; choose a folder that this user may write to", dir, errors.Unwrap(err))
	}
	probe.Close()
	return os.Remove(probe.Name())
}
