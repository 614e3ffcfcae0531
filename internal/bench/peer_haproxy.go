package bench

import (
	"context"
	"fmt"
)

// startHAProxy configures the same algorithm.
func startHAProxy(ctx context.Context, floors []string) (*proxy, error) {
	p, path, err := newProxy("HAProxy", "haproxy.cfg", func(addr, _ string) string {
		servers := ""
		for i, floor := range floors {
			servers += fmt.Sprintf("  server n%d %s check\n", i, floor)
		}
		return fmt.Sprintf(`global
  nbthread 2
  maxconn 8000
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
frontend in
  bind %s
  default_backend nodes
backend nodes
  balance random(2)
  option httpchk GET /readyz
%s`, addr, servers)
	})
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, p, "haproxy", "-db", "-f", path)
}
