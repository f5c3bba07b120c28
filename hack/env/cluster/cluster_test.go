//go:build linux

package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"dev": true, "a": true, "e2e-2": true, "abcdefghijklmnop": true,
		"": false, "abcdefghijklmnopq": false, "2e": false, "Dev": false, "a-": false, "../x": false, "a/b": false,
	} {
		if err := checkName(name); (err == nil) != want {
			t.Errorf("%q: got %v, want it to be accepted: %v", name, err, want)
		}
	}
}

func TestSlotsHaveAddressesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for slot := range maxSlots {
		c := cluster{name: "x", slot: slot}
		for _, one := range []string{c.hostAddress(), c.nodeAddress(), c.hostDevice()} {
			if seen[one] {
				t.Errorf("slot %d: %s is another slot's", slot, one)
			}
			seen[one] = true
		}
		if len(c.hostDevice()) > 15 {
			t.Errorf("%s is longer than a device's name may be", c.hostDevice())
		}
	}
	c := cluster{name: "e2e", slot: 3}
	got := []string{c.hostAddress(), c.nodeAddress(), c.hostDevice(), c.controlPlane().server()}
	want := []string{"198.18.3.1", "198.18.3.2", "wsj3", "https://198.18.3.2:6443"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSocketsFit(t *testing.T) {
	c := cluster{name: strings.Repeat("x", 16)}
	if got := len(c.run("s")); got > 38 { // containerd's limit, whatever the system
		t.Errorf("the longest name makes a shim's socket folder of %d bytes", got)
	}
}

func TestFirstFree(t *testing.T) {
	all := map[int]bool{}
	for slot := range maxSlots {
		all[slot] = true
	}
	tests := []struct {
		taken map[int]bool
		want  int
	}{
		{nil, 0},
		{map[int]bool{0: true, 1: true, 3: true}, 2},
		{map[int]bool{1: true}, 0},
		{all, -1},
	}
	for _, test := range tests {
		if got := firstFree(test.taken); got != test.want {
			t.Errorf("%v: got %d, want %d", test.taken, got, test.want)
		}
	}
}

// certificateOf reads a certificate and checks that its key is there too.
func certificateOf(t *testing.T, folder, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, name+".key")); err != nil {
		t.Error(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestCertificates(t *testing.T) {
	folder := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := makePKI(folder, now, identities("198.18.0.2", "dev-node")); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificateOf(t, folder, "ca"))
	tests := []struct {
		file, subject string
		server        bool
		names         []string
	}{
		{"apiserver", "CN=kube-apiserver", true, []string{
			"localhost", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1", "198.18.0.2"}},
		{"admin", "CN=admin,O=system:masters", false, nil},
		{"kubelet-client", "CN=kube-apiserver-kubelet-client,O=system:masters", false, nil},
		{"controller-manager", "CN=system:kube-controller-manager", false, nil},
		{"scheduler", "CN=system:kube-scheduler", false, nil},
		{"kubelet", "CN=system:node:dev-node,O=system:nodes", true, []string{"dev-node", "198.18.0.2"}},
		{"proxy", "CN=system:kube-proxy", false, nil},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			certificate := certificateOf(t, folder, test.file)
			if got := certificate.Subject.String(); got != test.subject {
				t.Errorf("subject %s, want %s", got, test.subject)
			}
			usages := map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: test.server}
			for usage, want := range usages {
				options := x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{usage}}
				if _, err := certificate.Verify(options); (err == nil) != want {
					t.Errorf("usage %v: %v, want it to be good: %v", usage, err, want)
				}
			}
			for _, name := range test.names {
				if err := certificate.VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			if certificate.VerifyHostname("198.18.1.2") == nil {
				t.Error("it is valid for another cluster's address too")
			}
		})
	}
}

func TestCertificatesAreMadeOnce(t *testing.T) {
	folder := t.TempDir()
	read := func() string {
		text, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 2 {
		if err := makePKI(folder, time.Now(), identities("127.0.0.1", "")); err != nil {
			t.Fatal(err)
		}
		defer func(before string) {
			if read() != before {
				t.Error("the CA was made again")
			}
		}(read())
	}
}

func TestKubeconfigHoldsItsCertificates(t *testing.T) {
	folder := t.TempDir()
	if err := makePKI(folder, time.Now(), identities("127.0.0.1", "")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "kubeconfig")
	if err := writeKubeconfig(path, "dev", "https://127.0.0.1:1", folder, "admin"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users []struct {
			User map[string][]byte
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(config.Users[0].User["client-key-data"]); block == nil {
		t.Errorf("no key in %s", text)
	}
	if err := writeKubeconfig(path, "dev", "https://127.0.0.1:1", folder, "nobody"); err == nil {
		t.Error("a user without a certificate has a kubeconfig")
	}
}

func TestPollSaysWhatWasMissing(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errors.New("too late"))
	defer cancel()
	err := poll(ctx, time.Millisecond, func(context.Context) error { return errors.New("no answer") })
	if err == nil || err.Error() != "too late: no answer" {
		t.Errorf("got %v", err)
	}
	calls := 0
	err = poll(t.Context(), time.Millisecond, func(context.Context) error { calls++; return errStop })
	if !errors.Is(err, errStop) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}
