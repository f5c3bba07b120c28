//go:build linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const certificateLife = 10 * 365 * 24 * time.Hour

// identity is a certificate to be made: its subject, and the names it serves.
type identity struct {
	file         string
	commonName   string
	organization string
	names        []string // DNS names and addresses, for servers
}

// identities lists the certificates of a control plane whose API server has the given
// address and, with a node, of that node's kubelet and kube-proxy.
func identities(address, node string) []identity {
	all := []identity{
		{file: "apiserver", commonName: "kube-apiserver", names: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local", "127.0.0.1", firstServiceIP, address,
		}},
		{file: "admin", commonName: "admin", organization: "system:masters"},
		{file: "kubelet-client", commonName: "kube-apiserver-kubelet-client", organization: "system:masters"},
		{file: "controller-manager", commonName: "system:kube-controller-manager"},
		{file: "scheduler", commonName: "system:kube-scheduler"},
	}
	if node == "" {
		return all
	}
	return append(all,
		identity{file: "kubelet", commonName: "system:node:" + node, organization: "system:nodes", names: []string{node, address}},
		identity{file: "proxy", commonName: "system:kube-proxy"},
	)
}

// makePKI fills folder with a CA, the certificates it signs, and the key pair for
// service account tokens. A folder that has them all is left as it is; one that lacks
// some is made again.
func makePKI(folder string, now time.Time, wanted []identity) error {
	done := filepath.Join(folder, "complete")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	ca, caKey, err := makeCA(folder, now)
	if err != nil {
		return err
	}
	for i, id := range wanted {
		if err := sign(folder, ca, caKey, id, int64(i)+2, now); err != nil {
			return fmt.Errorf("certificate %s: %w", id.file, err)
		}
	}
	if err := makeServiceAccountKeys(folder); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

func makeCA(folder string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "workspace-jobs cluster CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	return ca, key, writePair(folder, "ca", der, key)
}

func sign(folder string, ca *x509.Certificate, caKey crypto.Signer, id identity, serial int64, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: id.commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if id.organization != "" {
		template.Subject.Organization = []string{id.organization}
	}
	for _, name := range id.names {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	return writePair(folder, id.file, der, key)
}

// makeServiceAccountKeys makes an RSA pair: clients of tokens still expect RS256.
func makeServiceAccountKeys(folder string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := writeKey(folder, "service-account", key); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, "service-account.pub"), "PUBLIC KEY", public)
}

func writePair(folder, name string, der []byte, key crypto.Signer) error {
	if err := writeKey(folder, name, key); err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, name+".crt"), "CERTIFICATE", der)
}

func writeKey(folder, name string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, name+".key"), "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
