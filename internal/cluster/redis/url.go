package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// CheckURL returns an error if a --redis-url is invalid. The error does not contain the URL.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL parses a --redis-url. Its errors never contain the URL, because it may hold a password.
func parseURL(text string) (rueidis.ClientOption, error) {
	var all rueidis.ClientOption
	addresses := strings.Split(text, ",")
	for i, address := range addresses {
		one, err := parseAddress(strings.TrimSpace(address))
		if err == nil {
			err = join(&all, one)
		}
		if err != nil && len(addresses) > 1 {
			err = fmt.Errorf("address %d: %w", i+1, err)
		}
		if err != nil {
			return all, err
		}
	}
	if len(addresses) > 1 && all.SelectDB != 0 {
		return all, errors.New("a Redis Cluster has no database but 0")
	}
	return all, nil
}

// parseAddress parses redis://user:password@host:port/database, rediss:// for TLS, or host:port.
func parseAddress(text string) (rueidis.ClientOption, error) {
	var o rueidis.ClientOption
	if text == "" {
		return o, errors.New("it is empty; say redis://HOST:PORT")
	}
	if !strings.Contains(text, "://") {
		text = "redis://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return o, errors.New("it is no URL; say redis://HOST:PORT, with what is special in a password as %XX")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return o, fmt.Errorf("it begins with %s://; say redis:// or, for TLS, rediss://", u.Scheme)
	}
	if u.Hostname() == "" {
		return o, errors.New("it has no host; say redis://HOST:PORT")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return o, errors.New("it takes nothing after a ? or a #")
	}
	if o.InitAddress, err = parseHost(u); err != nil {
		return o, err
	}
	if u.Scheme == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // each server's certificate is checked against the name in its address
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	o.SelectDB, err = parseDatabase(u.Path)
	return o, err
}

func parseHost(u *url.URL) ([]string, error) {
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("the port %s is not one of 1 to 65535", port)
	}
	return []string{net.JoinHostPort(u.Hostname(), port)}, nil
}

func parseDatabase(path string) (int, error) {
	name := strings.TrimPrefix(path, "/")
	if name == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("the database %q is not a number", name)
	}
	return int(n), nil
}

// join merges the options of one address. An option that only one address sets applies to all.
func join(all *rueidis.ClientOption, one rueidis.ClientOption) error {
	all.InitAddress = append(all.InitAddress, one.InitAddress...)
	if one.TLSConfig != nil {
		all.TLSConfig = one.TLSConfig
	}
	all.SelectDB = max(all.SelectDB, one.SelectDB)
	if one.Username == "" && one.Password == "" {
		return nil
	}
	if all.Username != "" && all.Username != one.Username || all.Password != "" && all.Password != one.Password {
		return errors.New("another user or password than before; a Redis Cluster has one for all")
	}
	all.Username, all.Password = one.Username, one.Password
	return nil
}
