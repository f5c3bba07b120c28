package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// CAFile returns the file of the CA certificate, in PEM, with which clients verify a
// server with TLS.
func (s *Server) CAFile() string { return filepath.Join(s.Dir, "ca.crt") }

// ClientCertificate returns the files, in PEM, of a certificate that a server with TLS
// trusts and of its key.
func (s *Server) ClientCertificate() (certificate, key string) {
	return filepath.Join(s.Dir, "client.crt"), filepath.Join(s.Dir, "client.key")
}

// authority signs a server's certificates. Its key is not stored.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issueCertificates creates the server's certificate for the address of its URLs, which is
// the first that it listens on, and one for its clients.
func issueCertificates(programs programs, made state) error {
	signer, err := newAuthority()
	if err != nil {
		return err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signer.certificate.Raw})
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(made.Listen[0])},
	}
	client := &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	return errors.Join(
		programs.write(filepath.Join(made.Dir, "ca.crt"), string(ca)),
		signer.issue(programs, filepath.Join(made.dataDir(), "server"), server),
		signer.issue(programs, filepath.Join(made.Dir, "client"), client),
	)
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate: certificate, key: key}, err
}

// issue writes path.crt and path.key.
func (a *authority) issue(programs programs, path string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = a.certificate.NotBefore, a.certificate.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certificate, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		programs.write(path+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))),
		programs.write(path+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))),
	)
}
