package bench

import (
	"context"
	"fmt"
	"strings"
)

// startNginx configures the algorithm of the gateway: two random servers, the one with fewer connections, keep-alive.
func startNginx(ctx context.Context, floors []string) (*proxy, error) {
	p, path, err := newProxy("nginx", "nginx.conf", func(addr, dir string) string {
		return fmt.Sprintf(`daemon off;
worker_processes 2;
worker_rlimit_nofile 16384;
pid %[1]s/pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 1000000000;
  upstream nodes {
    zone nodes 64k;
    random two least_conn;
    server %[2]s;
    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen %[3]s reuseport backlog=4096;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`, dir, strings.Join(floors, "; server "), addr)
	})
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, p, "nginx", "-p", p.dir, "-c", path)
}
