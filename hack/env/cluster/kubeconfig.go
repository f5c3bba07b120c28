//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// writeKubeconfig writes a kubeconfig that holds its certificates itself, so that it
// can be copied. (JSON is YAML.)
func writeKubeconfig(path, name, server, pki, user string) error {
	var data [3][]byte
	for i, file := range []string{"ca.crt", user + ".crt", user + ".key"} {
		read, err := os.ReadFile(filepath.Join(pki, file))
		if err != nil {
			return err
		}
		data[i] = read
	}
	type fields map[string]any
	config := fields{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": []fields{{"name": name, "cluster": fields{
			"server": server, "certificate-authority-data": data[0],
		}}},
		"users": []fields{{"name": user, "user": fields{
			"client-certificate-data": data[1], "client-key-data": data[2],
		}}},
		"contexts": []fields{{"name": name, "context": fields{"cluster": name, "user": user}}},
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// newAdminClient returns an HTTP client with the rights of the cluster's admin.
func newAdminClient(pki string) (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(pki, "admin.crt"), filepath.Join(pki, "admin.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{
		Timeout: 5 * time.Second,
		// No Proxy: the API server is on this machine.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots,
		}},
	}, nil
}
