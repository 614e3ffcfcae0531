package kubernetes

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// accountDir is where Kubernetes puts a pod's credentials.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Options say which StatefulSet. Name must be given; the zero value of another field means what the pod was given.
type Options struct {
	Name      string        // of the StatefulSet
	Namespace string        // default: the pod's own
	Server    string        // https://host:port of the API; default: from the environment of the pod
	Account   string        // folder with token, ca.crt and namespace
	Timeout   time.Duration // of one call; default 3 s: it has to fit into a guard
}

// fill takes from the pod what was left out.
func (o *Options) fill() error {
	if o.Name == "" {
		return errors.New("the StatefulSet has no name")
	}
	if o.Account == "" {
		o.Account = accountDir
	}
	if o.Server == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return errors.New("this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
		}
		o.Server = "https://" + net.JoinHostPort(host, port)
	}
	if o.Namespace == "" {
		text, err := os.ReadFile(filepath.Join(o.Account, "namespace"))
		if err != nil {
			return fmt.Errorf("which namespace? %w", err)
		}
		o.Namespace = strings.TrimSpace(string(text))
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	return nil
}

// token is read anew for each call: the kubelet replaces it long before it ends.
func (o *Options) token() (string, error) {
	text, err := os.ReadFile(filepath.Join(o.Account, "token"))
	if err != nil {
		return "", fmt.Errorf("service account: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// client trusts the cluster's own authority only.
func (o *Options) client() (*http.Client, error) {
	text, err := os.ReadFile(filepath.Join(o.Account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("service account: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("service account: %s holds no certificate", filepath.Join(o.Account, "ca.crt"))
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}, IdleConnTimeout: time.Minute,
		MaxIdleConns: 2, ForceAttemptHTTP2: true,
	}
	return &http.Client{Transport: transport, Timeout: o.Timeout}, nil
}
