package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	source  = "https://github.com/openradius/workspace-jobs"
	license = "Apache-2.0"
	// user is an ID without a name, as in other images without a shell.
	user = "65532:65532"
	// caRoots is where Go, OpenSSL and most other programs look for CA roots.
	caRoots = "etc/ssl/certs/ca-certificates.crt"
)

// spec is everything that an image's digest depends on, except for the CA roots.
type spec struct {
	tag        name.Tag
	content    []byte // of the binary
	entrypoint string
	version    string
	created    time.Time
}

func makeImage(s spec) (v1.Image, error) {
	architecture, err := architectureOf(s.content)
	if err != nil {
		return nil, err
	}
	files, err := layerTar(s)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "hack/env/image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Created = v1.Time{Time: s.created}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{s.entrypoint},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    path.Base(s.tag.RepositoryStr()),
			"org.opencontainers.image.source":   source,
			"org.opencontainers.image.version":  s.version,
			"org.opencontainers.image.licenses": license,
		},
	}
	return mutate.ConfigFile(image, config)
}

// architectureOf returns the processor that a binary is for, and refuses a binary that needs
// other files to start.
func architectureOf(binary []byte) (string, error) {
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return "", errors.New("not a Linux binary")
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", errors.New("not static, and the image has no libraries: build it with CGO_ENABLED=0")
		}
	}
	switch file.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	}
	return "", fmt.Errorf("a binary for %s: only amd64 and arm64 are supported", file.Machine)
}

// layerTar returns the image's one layer, uncompressed: the binary, the CA roots and their
// folders.
func layerTar(s spec) ([]byte, error) {
	files := []struct {
		path    string
		content []byte
		mode    int64
	}{
		{strings.TrimPrefix(s.entrypoint, "/"), s.content, 0o755},
		{caRoots, rootsPEM(), 0o644},
	}
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	made := map[string]bool{}
	for _, file := range files {
		for _, folder := range parents(file.path) {
			if made[folder] {
				continue
			}
			made[folder] = true
			header := &tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: s.created}
			if err := writer.WriteHeader(header); err != nil {
				return nil, err
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.path, Mode: file.mode, Size: int64(len(file.content)), ModTime: s.created}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(file.content); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

// parents returns the folders above a file, the outermost first.
func parents(file string) []string {
	var folders []string
	for i, c := range file {
		if c == '/' {
			folders = append(folders, file[:i])
		}
	}
	return folders
}

// rootsPEM returns the roots that Mozilla trusts without a condition. A file can't express
// "trusted for certificates from before a date", so those roots are left out.
func rootsPEM() []byte {
	var buffer bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			buffer.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return buffer.Bytes()
}
