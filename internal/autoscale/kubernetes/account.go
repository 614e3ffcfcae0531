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

// accountDir is where Kubernetes mounts the credentials of a pod.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Options identify the StatefulSet. Name is required; the zero value of any other field selects the value of the pod.
type Options struct {
	Name      string        // name of the StatefulSet
	Namespace string        // default: the pod's own
	Server    string        // https://host:port of the API; default: from the environment of the pod
	Account   string        // directory with the files token, ca.crt and namespace
	Timeout   time.Duration // limit of one request; default 3 s, which must fit into a guard
}

// fill sets omitted options from the pod.
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

// token reads the token again for each request, because the kubelet replaces it long before it expires.
func (o *Options) token() (string, error) {
	text, err := os.ReadFile(filepath.Join(o.Account, "token"))
	if err != nil {
		return "", fmt.Errorf("service account: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// client returns an HTTP client that trusts only the certificate authority of the cluster.
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
