package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// WriteImage makes the image that a folder's Dockerfile describes, without a container
// engine: its packages are this machine's, installed first if they are missing. It is for
// tests, with less in it than the real one: of Debian no more than the packages need. The
// archive is an OCI layout, as containerd imports it.
//
// What the project gives out is made by hack/env/image: one static binary, all of which its
// list of parts names. It could not say what Debian's files are made of.
func WriteImage(ctx context.Context, folder, name, archive string) error {
	r, err := readDockerfile(folder)
	if err != nil {
		return err
	}
	paths, err := files(ctx, r.packages)
	if err != nil {
		if err := Install(ctx, r.packages[0], r.packages[1:]...); err != nil {
			return err
		}
		if paths, err = files(ctx, r.packages); err != nil {
			return err
		}
	}
	layer, err := r.layer(paths)
	if err != nil {
		return err
	}
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	layout := &layout{tar: tar.NewWriter(file)}
	layout.write(name, r, layer)
	return errors.Join(layout.err, layout.tar.Close(), file.Close())
}

const libraryCache = "/etc/ld.so.cache"

// layer is the image's one layer: the packages' files, and those that are copied.
func (r recipe) layer(paths []string) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, path := range paths {
		if err := addFile(writer, path, path); err != nil {
			return nil, err
		}
	}
	// What libc-bin makes as it is installed. It names other libraries too, which nobody
	// asks for.
	if err := addFile(writer, libraryCache, libraryCache); err != nil {
		return nil, err
	}
	for target, source := range r.copies {
		if err := addFile(writer, target, source); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

// addFile adds a file of this machine's as root's; one that is not there is left out, as
// are devices and the like.
func addFile(writer *tar.Writer, target, source string) error {
	info, err := os.Lstat(source)
	if err != nil {
		if os.IsNotExist(err) && source == target {
			return nil // a package's, which this machine leaves out
		}
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(target, "/"), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	switch info.Mode().Type() {
	case os.ModeDir:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return writer.WriteHeader(header)
	case os.ModeSymlink:
		header.Typeflag = tar.TypeSymlink
		if header.Linkname, err = os.Readlink(source); err != nil {
			return err
		}
		return writer.WriteHeader(header)
	case 0:
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	}
	return nil
}

// layout writes an OCI image layout and remembers its first error:
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
type layout struct {
	tar *tar.Writer
	err error
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const ociType = "application/vnd.oci.image."

func (l *layout) write(name string, r recipe, layer []byte) {
	files := l.blob(ociType+"layer.v1.tar", layer)
	config := l.document(ociType+"config.v1+json", map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{files.Digest}},
		"config": map[string]any{"User": r.user, "Entrypoint": r.entrypoint, "Env": slices.Concat([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, r.env)},
	})
	manifest := l.document(ociType+"manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": ociType + "manifest.v1+json", "config": config, "layers": []descriptor{files},
	})
	manifest.Annotations = map[string]string{"io.containerd.image.name": name}
	l.file("index.json", l.encode(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}}))
	l.file("oci-layout", l.encode(map[string]string{"imageLayoutVersion": "1.0.0"}))
}

func (l *layout) document(mediaType string, value any) descriptor {
	return l.blob(mediaType, l.encode(value))
}

func (l *layout) encode(value any) []byte {
	text, err := json.Marshal(value)
	l.err = errors.Join(l.err, err)
	return text
}

func (l *layout) blob(mediaType string, content []byte) descriptor {
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	l.file(filepath.Join("blobs", "sha256", digest), content)
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: len(content)}
}

func (l *layout) file(path string, content []byte) {
	if l.err != nil {
		return
	}
	if l.err = l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(content))}); l.err == nil {
		_, l.err = io.Copy(l.tar, bytes.NewReader(content))
	}
}
