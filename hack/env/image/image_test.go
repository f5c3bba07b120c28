package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// staticBinary builds a program the way that the project builds its own.
func staticBinary(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	code := filepath.Join(folder, "main.go")
	if err := os.WriteFile(code, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "manager")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, code)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}

func TestSameInputSameBytes(t *testing.T) {
	folder := t.TempDir()
	var archives [2][]byte
	for i := range archives {
		path := filepath.Join(folder, "image.tar")
		args := []string{"--binary", staticBinary(t), "--name", "localhost/workspace-jobs/manager:dev", "--output", path}
		if err := run(args); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two images of the same binary differ")
	}
}

func TestCreationTimeChangesTheDigest(t *testing.T) {
	binary := staticBinary(t)
	digests := map[string]bool{}
	for _, epoch := range []string{"", "0", "1700000000"} {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		digests[digestOf(t, archiveOf(t, binary))] = true
	}
	if len(digests) != 2 {
		t.Errorf("got %d digests, want 2: none is 0, and 1700000000 is another", len(digests))
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if err := run([]string{"--binary", binary, "--name", "localhost/x:dev", "--output", os.DevNull}); err == nil {
		t.Error("SOURCE_DATE_EPOCH=yesterday is accepted")
	}
}

func archiveOf(t *testing.T, binary string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	err := run([]string{"--binary", binary, "--name", "localhost/workspace-jobs/manager:v1.2.3", "--entrypoint", "/bin/manager", "--output", path})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func imageOf(t *testing.T, archive string) v1.Image {
	t.Helper()
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(t *testing.T, archive string) string {
	t.Helper()
	digest, err := imageOf(t, archive).ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestWhatTheImageSays(t *testing.T) {
	config, err := imageOf(t, archiveOf(t, staticBinary(t))).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		config.OS, config.Architecture, config.Config.User, strings.Join(config.Config.Entrypoint, " "),
		config.Created.UTC().Format("2006"),
		config.Config.Labels["org.opencontainers.image.title"],
		config.Config.Labels["org.opencontainers.image.version"],
		config.Config.Labels["org.opencontainers.image.licenses"],
	}
	want := "linux amd64 65532:65532 /bin/manager 1970 manager v1.2.3 Apache-2.0"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWhatTheLayerHolds(t *testing.T) {
	binary := staticBinary(t)
	layers, err := imageOf(t, archiveOf(t, binary)).Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	modes := map[string]int64{}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[header.Name] = header.Mode
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
	original, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(files["bin/manager"], original) || modes["bin/manager"] != 0o755 {
		t.Error("bin/manager is not the binary, or can't be run")
	}
	if _, err := elf.NewFile(bytes.NewReader(files["bin/manager"])); err != nil {
		t.Error(err)
	}
	checkRoots(t, files["etc/ssl/certs/ca-certificates.crt"])
}

func checkRoots(t *testing.T, text []byte) {
	t.Helper()
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		count++
	}
	if count < 50 {
		t.Errorf("only %d CA roots", count)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	tag := strings.TrimPrefix(server.URL, "http://") + "/workspace-jobs/manager:dev"
	binary := staticBinary(t)
	if err := run([]string{"--binary", binary, "--name", tag, "--push"}); err != nil {
		t.Fatal(err)
	}
	parsed, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(parsed); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := staticBinary(t)
	tests := map[string]struct {
		args []string
		want string
	}{
		"not a binary":        {[]string{"--binary", script, "--name", "localhost/x:dev", "--output", os.DevNull}, "not a Linux binary"},
		"no name":             {[]string{"--binary", binary, "--output", os.DevNull}, "--name"},
		"nowhere to go":       {[]string{"--binary", binary, "--name", "localhost/x:dev"}, "--output and --push"},
		"a bad name":          {[]string{"--binary", binary, "--name", "UPPER/x:dev", "--output", os.DevNull}, "--name"},
		"a relative start":    {[]string{"--binary", binary, "--name", "localhost/x:dev", "--entrypoint", "manager", "--output", os.DevNull}, "clean absolute"},
		"a start that climbs": {[]string{"--binary", binary, "--name", "localhost/x:dev", "--entrypoint", "/../x", "--output", os.DevNull}, "clean absolute"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := run(test.args)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
