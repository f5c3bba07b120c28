package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// serverPort is the port of the node at which the demo serves the REST API and the dashboard.
const serverPort = 30500

// The accounts to sign in with: an editor of acme, and an admin of the platform.
const (
	editorAccount = "editor"
	adminAccount  = "platform-admin"
)

// serveDashboard serves the dashboard as docs/install.md describes: with a certificate, a session
// key, and an overlay with the component config/server/tls.
func (d *demo) serveDashboard(ctx context.Context) error {
	d.title("REST API and dashboard: config/server/tls")
	node, err := d.quiet(ctx, "", tool, kubectlArgs("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")...)
	if err != nil {
		return err
	}
	d.server = net.JoinHostPort(node, fmt.Sprint(serverPort))
	if err := d.writeServerOverlay(node); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", d.overlayName("server")); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "-n", "workspace-jobs-system", "rollout", "status", "deployment/workspace-jobs-server", "--timeout=3m"); err != nil {
		return err
	}
	return d.askServer(ctx)
}

func (d *demo) writeServerOverlay(node string) error {
	folder := filepath.Join(d.overlay(), "server")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	certificate, key, err := selfSigned(node)
	if err != nil {
		return err
	}
	overlay := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: workspace-jobs-system
resources: [../../../config/server, accounts.yaml]
components: [../../../config/server/tls]
generatorOptions: {disableNameSuffixHash: true}
secretGenerator:
- {name: workspace-jobs-server-tls, type: kubernetes.io/tls, files: [tls.crt, tls.key]}
- {name: workspace-jobs-server-sessions, files: [key]}
patches:
- target: {kind: Service, name: workspace-jobs-server}
  patch: |
    - {op: add, path: /spec/type, value: NodePort}
    - {op: add, path: /spec/ports/0/nodePort, value: %d}
`, serverPort)
	accounts := fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: demo-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {kind: ServiceAccount, name: %[1]s, namespace: workspace-jobs-system}
`, adminAccount)
	for name, text := range map[string]string{
		"kustomization.yaml": overlay, "accounts.yaml": accounts, "tls.crt": certificate, "tls.key": key, "key": rand.Text() + rand.Text(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned returns a certificate for the node's address, in PEM. Browsers warn about it.
func selfSigned(node string) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Workspace Jobs demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(node)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})), nil
}

// askServer shows that acme's editor can read acme's jobs, and not globex's.
func (d *demo) askServer(ctx context.Context) error {
	token, err := d.quiet(ctx, "", tool, kubectlArgs("-n", "workspace-acme", "create", "token", editorAccount)...)
	if err != nil {
		return err
	}
	for tenant, want := range map[string]int{"acme": http.StatusOK, "globex": http.StatusNotFound} {
		path := "/api/workspaces/" + tenant + "/jobs?limit=1"
		var status int
		err := wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
			// The node may still send a connection to the replaced pod.
			var err error
			status, err = d.ask(ctx, path, token)
			return err == nil, nil
		})
		if err == nil && status != want {
			err = fmt.Errorf("it answers %d, not %d", status, want)
		}
		if err != nil {
			return fmt.Errorf("GET https://%s%s as acme's editor: %w", d.server, path, err)
		}
		d.say("  GET %s as acme's editor: %d %s", path, status, http.StatusText(status))
	}
	return nil
}

func (d *demo) ask(ctx context.Context, path, token string) (status int, err error) {
	trusted, err := os.ReadFile(filepath.Join(d.overlay(), "server", "tls.crt"))
	if err != nil {
		return 0, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+d.server+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}

// sayHowToSignIn ends the demo with how to sign in.
func (d *demo) sayHowToSignIn() {
	d.say("Dashboard:      https://%s/hangfire (the browser warns about its self-signed certificate)", d.server)
	d.say("  sign in as acme's editor with: bin/cluster kubectl --name demo -n workspace-acme create token %s", editorAccount)
	d.say("  as a platform admin with:      bin/cluster kubectl --name demo -n workspace-jobs-system create token %s", adminAccount)
}
