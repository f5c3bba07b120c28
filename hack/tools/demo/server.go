package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

const (
	// serverPort is the node's port, as in overlays/server.yaml.
	serverPort = "30500"
	// editor is the ServiceAccount of acme that may edit its jobs.
	editor = "editor"
)

// serveDashboard does what docs/install.md says: a certificate, a session key, and an
// overlay with the component config/server/tls.
func (d *demo) serveDashboard(ctx context.Context) error {
	node, err := output(ctx, "kubectl", "--name", "demo", "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
	if err != nil {
		return err
	}
	d.server = net.JoinHostPort(node, serverPort)
	certificate, key, err := cert.GenerateSelfSignedCertKey(node, nil, nil)
	if err != nil {
		return err
	}
	accounts, err := overlays.ReadFile("overlays/accounts.yaml")
	if err != nil {
		return err
	}
	folder := filepath.Join(overlayDir, "server")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"accounts.yaml": accounts, "tls.crt": certificate, "tls.key": key, "key": []byte(rand.Text() + rand.Text()),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := d.apply(ctx, "server"); err != nil {
		return err
	}
	if err := kubectl(ctx, "-n", "workspace-jobs-system", "rollout", "status", "deployment/workspace-jobs-server", "--timeout=3m"); err != nil {
		return err
	}
	return d.askServer(ctx, certificate)
}

// askServer shows that acme's editor gets answers about acme, and none about globex.
func (d *demo) askServer(ctx context.Context, certificate []byte) error {
	token, err := output(ctx, "kubectl", "--name", "demo", "-n", "workspace-acme", "create", "token", editor)
	if err != nil {
		return err
	}
	api, err := rest.HTTPClientFor(&rest.Config{
		BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: certificate}, Timeout: 5 * time.Second, Proxy: noProxy,
	})
	if err != nil {
		return err
	}
	for tenant, want := range map[string]int{"acme": http.StatusOK, "globex": http.StatusNotFound} {
		address := "https://" + d.server + "/api/workspaces/" + tenant + "/jobs?limit=1"
		var status int
		var last error
		// The node may still send a connection to the pod that was replaced.
		err := wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (done bool, _ error) {
			status, last = ask(ctx, api, address)
			return last == nil && status == want, nil
		})
		if err != nil {
			return fmt.Errorf("GET %s as acme's editor: %d, want %d: %w", address, status, want, errors.Join(last, err))
		}
		fmt.Printf("   GET %s as acme's editor: %d %s\n", address, status, http.StatusText(status))
	}
	return nil
}

func ask(ctx context.Context, api *http.Client, address string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := api.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// noProxy is needed where the environment names a proxy, since the cluster is on this machine.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }
