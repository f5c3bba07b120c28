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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, words := range map[string]string{
		"":                              "",
		"--bind-address=localhost:5000": "",
		"--bind-address=[::1]:5000":     "",
		"--bind-address=:5000":          "would send tokens unencrypted",
		"--bind-address=0.0.0.0:5000":   "would send tokens unencrypted",
		"--bind-address=10.0.0.1:5000":  "would send tokens unencrypted",
		"--bind-address=5000":           "is not host:port",
		"--bind-address=:5000 --allow-plain-http=true":                    "",
		"--bind-address=:5000 --tls-cert-file=a --tls-private-key-file=b": "",
		"--second-session-key-file=a":                                     "needs --session-key-file",
		"--tls-cert-file=a":                                               "must be set together",
		"--requests-per-second=0":                                         "--requests-per-second must be greater than 0",
		"--request-burst=0":                                               "--request-burst must be greater than 0",
		"--max-body-bytes=-1":                                             "--max-body-bytes must be greater than 0",
		"--request-timeout=0s":                                            "--request-timeout must be greater than 0",
		"--streams-per-caller=0":                                          "--streams-per-caller must be greater than 0",
		"--streams=-1":                                                    "--streams must be greater than 0",
		"--failures-per-minute=0":                                         "--failures-per-minute must be greater than 0",
		"--sign-ins-per-minute=0":                                         "--sign-ins-per-minute must be greater than 0",
		"--trusted-proxies=10.0.0.0/8,2001:db8::1":                        "",
		"--trusted-proxies=10.0.0.0/8,proxy":                              `"proxy" is neither a block`,
		"--shutdown-grace=-1s":                                            "--shutdown-grace must not",
		"--no-such-flag":                                                  "not defined",
		"serve":                                                           "unexpected argument",
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

type forever struct{}

func (forever) Read(p []byte) (int, error) { return len(p), nil }

// serving starts the server on a free port, until stop.
func serving(t *testing.T, opts options, handler http.Handler) (address string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := newServer(ctx, opts, handler, slog.New(slog.DiscardHandler))
	listener, err := s.serve(opts)
	if err != nil {
		t.Fatal(err)
	}
	return listener.String(), func() error { cancel(); return s.group.Wait() }
}

func TestTLSIsServedAndItsCertificateRenewed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	opts := options{address: "127.0.0.1:0", certFile: filepath.Join(folder, "tls.crt"), keyFile: filepath.Join(folder, "tls.key"), grace: time.Second}
	writeCertificate(t, opts, "first.example")
	address, stop := serving(t, opts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS != nil) }))
	if name := certificateOf(t, address); name != "first.example" {
		t.Errorf("the certificate is %s's", name)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	writeCertificate(t, opts, "second.example")
	deadline := time.Now().Add(3 * time.Minute)
	for certificateOf(t, address) != "second.example" {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not served")
		}
		<-time.After(100 * time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func certificateOf(t *testing.T, address string) string {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured, ok := conn.(*tls.Conn)
	if !ok {
		t.Fatalf("a %T", conn)
	}
	return secured.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func writeCertificate(t *testing.T, opts options, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{opts.keyFile: {Type: "EC PRIVATE KEY", Bytes: encoded}, opts.certFile: {Type: "CERTIFICATE", Bytes: certificate}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestARequestHasItsGrace checks that a request may end after the server was asked to stop.
func TestARequestHasItsGrace(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	address, stop := serving(t, options{address: "127.0.0.1:0", grace: testenv.PollLimit}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begin(t, w)
		close(entered)
		<-release
		fmt.Fprint(w, "done")
	}))
	answer := open(t, address)
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	testenv.Eventually(t, "it accepts no more requests", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("it does"), conn.Close())
	})
	close(release)
	if text, err := io.ReadAll(answer); err != nil || string(text) != "done" {
		t.Errorf("the request ends with %q, %v", text, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestAStreamIsCutAfterTheGrace checks that a request which never ends keeps no server alive.
func TestAStreamIsCutAfterTheGrace(t *testing.T) {
	t.Parallel()
	address, stop := serving(t, options{address: "127.0.0.1:0", grace: time.Second}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin(t, w)
		<-r.Context().Done()
	}))
	answer := open(t, address)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(answer); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v", err)
	}
}

// begin sends the head of an answer.
func begin(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
}

// open returns the body of an answer that has begun.
func open(t *testing.T, address string) io.Reader {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer.Body
}

// TestASlowRequestIsCutOff checks that a client that sends its headers byte by byte does not
// hold a connection forever.
func TestASlowRequestIsCutOff(t *testing.T) {
	t.Parallel()
	address, stop := serving(t, options{address: "127.0.0.1:0"}, http.NotFoundHandler())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
